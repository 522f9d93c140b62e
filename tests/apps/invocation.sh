#!/bin/sh
# Directory, arguments, descriptors.
printf 'Content-Type: text/plain\n\n'
printf '%s\n%s\n' "$PWD" "$#"
ls "/proc/$$/fd"
