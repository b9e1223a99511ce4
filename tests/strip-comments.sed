# Drop C comments, as far as a count of lines needs it (no comment marks in our strings).
:a
s|/\*[^*]*\*\+\([^/*][^*]*\*\+\)*/||g
/\/\*/{
N
ba
}
