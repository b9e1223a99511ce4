# Bars, ours above Xen's, with a black mark at the target.
#   usage: gnuplot -c bars.gp TSV SVG TITLE TARGETS
# TSV: operation, ours, xen, target (or "?"). TARGETS: 1, or 0 if there are none.
set datafile separator "\t"
set datafile missing "?"
stats ARG1 using 3 nooutput
set terminal svg size 900,(100 + 34 * STATS_records) font "sans-serif,13" background "#ffffff"
set output ARG2
set title ARG3
mark = STATS_max / 400
set xrange [0:STATS_max * 1.05]
set yrange [STATS_records - 0.4:-0.6]
set format x "%.0f"
set grid xtics lc rgb "#dddddd"
set border 2
set xtics nomirror scale 0
set ytics nomirror noenhanced scale 0
set style fill solid noborder
set key at graph 1, graph 1 bottom right horizontal samplen 1.5 width 1
both = "ARG1 using (0):0:(0):2:($0-0.38):($0-0.01):ytic(1) with boxxyerror lc rgb '#2a7ab0' title 'ours'".\
    ", ARG1 using (0):0:(0):3:($0+0.01):($0+0.38) with boxxyerror lc rgb '#c8b48c' title 'Debian''s Xen 4.17'"
target = "ARG1 using 4:0:($4-mark):($4+mark):($0-0.42):($0+0.03) with boxxyerror lc rgb '#202020' title 'target'"
if (ARG4 + 0) plot @both, @target; else plot @both
