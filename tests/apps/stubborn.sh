#!/bin/sh
# Ends at TERM, but leaves a child that does not.
(trap '' TERM; echo ready >&2; while :; do sleep 1000; done) &
wait
