#!/bin/sh
# Never says anything; nor does its child.
echo begun >&2
sleep 1000
