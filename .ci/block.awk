# Prints the shell block of a Markdown file that has this number, from 1; other blocks are not counted.
/^```/ { if (inside) inside = shell = 0; else { inside = 1; shell = /^```sh$/; blocks += shell }; next }
shell && blocks == number
