#!/bin/sh
# Never reads its body.
printf 'Content-Type: text/plain\n\nI did not listen'
