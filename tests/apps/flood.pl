#!/usr/bin/perl
# Far more stderr than a pipe holds, before the first byte of the answer.
use strict;
use warnings;

print STDERR "x" x 99, "\n" for 1 .. 20_000;
print STDERR "the last line\n";
print "Content-Type: text/plain\n\nanswer";
