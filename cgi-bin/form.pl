#!/usr/bin/perl -T
# Shows the fields of a form, sent by GET or POST. Core modules only.
use strict;
use warnings;
use Encode ();

use constant MAX_BODY => 64 * 1024;

my %entity = ('&' => '&amp;', '<' => '&lt;', '>' => '&gt;', '"' => '&quot;', "'" => '&#39;');

sub escape {
    my ($text) = @_;
    $text =~ s/([&<>"'])/$entity{$1}/g;
    return $text;
}

# Bytes of application/x-www-form-urlencoded to text; what is no UTF-8 becomes U+FFFD.
sub decode {
    my ($bytes) = @_;
    $bytes =~ tr/+/ /;
    $bytes =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ge;
    return Encode::decode('UTF-8', $bytes);
}

sub refuse {
    my ($status, $reason, @headers) = @_;
    print map {"$_\n"} "Status: $status", @headers, 'Content-Type: text/plain; charset=utf-8', '';
    print "$reason\n";
    exit;
}

sub encoded_fields {
    my $method = $ENV{REQUEST_METHOD} // 'GET';
    return $ENV{QUERY_STRING} // '' if $method eq 'GET' || $method eq 'HEAD';
    refuse('405 Method Not Allowed', 'Send the form by GET or POST.', 'Allow: GET, HEAD, POST')
        if $method ne 'POST';

    my $type = lc($ENV{CONTENT_TYPE} // '');
    refuse('415 Unsupported Media Type', 'Send application/x-www-form-urlencoded.')
        if $type !~ m{\A\s*application/x-www-form-urlencoded\s*(?:;|\z)};

    my $length = $ENV{CONTENT_LENGTH} || 0;
    refuse('413 Content Too Large', 'The form is larger than 64 KiB.') if $length > MAX_BODY;

    # The length says where the body ends; read() on a pipe returns when it has it all.
    my $read = read(STDIN, my $body, $length);
    refuse('400 Bad Request', 'The body ends too early.') if !defined $read || $read < $length;
    return $body;
}

binmode STDIN;
binmode STDOUT, ':encoding(UTF-8)';

my $rows = '';
for my $pair (grep {length} split /&/, encoded_fields()) {
    my ($name, $value) = map { escape(decode($_)) } split(/=/, $pair, 2), '';
    $rows .= qq(<tr><th scope="row">$name</th><td class="value">$value</td></tr>\n);
}
$rows ||= qq(<tr><td colspan="2">No field was sent.</td></tr>\n);

print <<"END";
Content-Type: text/html; charset=utf-8

<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>Form in Perl \x{b7} forkd</title>
  <link rel="icon" href="/logo.svg" type="image/svg+xml">
  <link rel="stylesheet" href="/style.css">
</head>
<body>
<main>
<h1>The fields, in Perl</h1>
<p class="lead">As this program understood them. <a href="/forms.html">Back to the forms</a></p>
<div class="scroll" tabindex="0" role="region" aria-label="Fields">
<table>
<thead><tr><th scope="col">Field</th><th scope="col">Value</th></tr></thead>
<tbody>
$rows</tbody>
</table>
</div>
</main>
</body>
</html>
END
