# Bars, ours beside Xen's, and a mark for the target.
#   usage: gnuplot -c bars.gp TSV SVG TITLE        TSV: operation, ours, xen, target (or "?")
set terminal svg size 1000,560 font "sans-serif,13" background "#ffffff"
set output ARG2
set title ARG3
set datafile separator "\t"
set datafile missing "?"
set style data histograms
set style histogram clustered gap 1
set style fill solid noborder
set boxwidth 0.9
set yrange [0:*]
set format y "%.0f"
set grid ytics lc rgb "#dddddd"
set border 3
set xtics nomirror rotate by -35 noenhanced
set ytics nomirror
set key top left reverse Left
plot ARG1 using 2:xtic(1) title "ours" lc rgb "#2a7ab0", \
     ARG1 using 3 title "Debian's Xen 4.17" lc rgb "#c8b48c", \
     ARG1 using ($0-0.17):4 with points pt 9 ps 0.9 lc rgb "#202020" title "target"
