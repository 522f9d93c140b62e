#!/bin/sh
# What forkd tells a script: its environment, as a table for browsers and as text for the rest.

# Values are separated by NUL on the way: a decoded PATH_INFO may contain a line feed.
case "$HTTP_ACCEPT" in
*text/html*) ;;
*)
    printf 'Content-Type: text/plain; charset=utf-8\nVary: Accept\n\n'
    env -0 | sort -z | tr '\0' '\n'
    exit
    ;;
esac

cat <<'END'
Content-Type: text/html; charset=utf-8
Vary: Accept

<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>Environment · forkd</title>
  <link rel="icon" href="/logo.svg" type="image/svg+xml">
  <link rel="stylesheet" href="/style.css">
</head>
<body>
<main>
<h1>What a script is told</h1>
<p class="lead">The environment of this shell script. <a href="/">Back to the start</a></p>
<div class="scroll" tabindex="0" role="region" aria-label="Environment">
<table>
<thead><tr><th scope="col">Name</th><th scope="col">Value</th></tr></thead>
<tbody>
END

# The ampersand first, or it would be escaped twice.
env -0 | sort -z | sed -z \
    -e 's/&/\&amp;/g' -e 's/</\&lt;/g' -e 's/>/\&gt;/g' -e 's/"/\&quot;/g' \
    -e 's|^\([^=]*\)=\(.*\)$|<tr><th scope="row">\1</th><td class="value">\2</td></tr>|' |
    tr '\0' '\n'

cat <<'END'
</tbody>
</table>
</div>
</main>
</body>
</html>
END
