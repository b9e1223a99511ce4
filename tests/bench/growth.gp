# Lines, ours drawn through and Xen's dashed in the same colour.
#   usage: gnuplot -c growth.gp DATA SVG TITLE AXIS
# DATA: blocks of "n ours xen", two empty lines between them, the operation in quotes before each
set terminal svg size 1000,560 font "sans-serif,13" background "#ffffff"
set output ARG2
set title ARG3
set xlabel ARG4
set ylabel "instructions (dashed: Debian's Xen 4.17)"
set xrange [0:*]
set yrange [0:*]
set format y "%.0s%c"
set grid ytics lc rgb "#dddddd"
set border 3
set xtics nomirror
set ytics nomirror
set key top left reverse Left noenhanced box lw 0 opaque
nr = int(system("grep -c '^\"' '".ARG1."'"))
array colour[6] = [0x2a7ab0, 0xd1495b, 0x3d8b56, 0xc27c0e, 0x6b5b95, 0x444444]
plot for [i = 0:nr-1] ARG1 index i using 1:2 with linespoints pt 7 ps 0.5 lw 2 lc rgb colour[i % 6 + 1] title columnheader(1), \
     for [i = 0:nr-1] ARG1 index i using 1:3 with lines dt 2 lw 1.5 lc rgb colour[i % 6 + 1] notitle
