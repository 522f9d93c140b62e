#!/bin/sh
echo '<html>'
echo
