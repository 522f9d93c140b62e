#!/bin/sh
printf 'X-Only: this\n\nbody'
