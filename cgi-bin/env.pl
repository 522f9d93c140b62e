#!/usr/bin/perl -T
# What forkd tells a script: its environment as a table. No module is needed.
use strict;
use warnings;

my %entity = ('&' => '&amp;', '<' => '&lt;', '>' => '&gt;', '"' => '&quot;', "'" => '&#39;');

sub escape {
    my ($text) = @_;
    $text =~ s/([&<>"'])/$entity{$1}/g;
    return $text;
}

print <<'END';
Content-Type: text/html; charset=utf-8

<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>Environment in Perl · forkd</title>
  <link rel="icon" href="/logo.svg" type="image/svg+xml">
  <link rel="stylesheet" href="/style.css">
</head>
<body>
<main>
<h1>What a script is told</h1>
<p class="lead">The environment of this Perl script. <a href="/">Back to the start</a></p>
<div class="scroll" tabindex="0" role="region" aria-label="Environment">
<table>
<thead><tr><th scope="col">Name</th><th scope="col">Value</th></tr></thead>
<tbody>
END

for my $name (sort keys %ENV) {
    printf qq(<tr><th scope="row">%s</th><td class="value">%s</td></tr>\n),
        escape($name), escape($ENV{$name});
}

print <<'END';
</tbody>
</table>
</div>
</main>
</body>
</html>
END
