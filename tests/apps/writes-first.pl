#!/usr/bin/perl
# Writes a megabyte before it reads its body.
use strict;
use warnings;

$| = 1;
print "Content-Type: application/octet-stream\n\n", "w" x (1 << 20);
my $size = 0;
while (my $count = read STDIN, my $data, 65536) {
    $size += $count;
}
print $size;
