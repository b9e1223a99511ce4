# usage: gnuplot -c pictures.gp ROWS SHARES FOLDER     (see table.sh)
set terminal svg size 1000,560 font "sans-serif,13" background "#ffffff"
set datafile separator "\t"
set style data histograms
set style fill solid noborder
set boxwidth 0.9
set yrange [0:*]
set format y "%.0f %%"
set grid ytics lc rgb "#dddddd"
set border 3
set xtics nomirror rotate by -35 noenhanced
set ytics nomirror
set key noenhanced
set rmargin 8

set output ARG3."/linux.svg"
set title "Linux: instructions, in per cent of the bare machine's"
set style histogram clustered gap 1
set key top right
plot ARG1 using ($4/$3*100):xtic(1) title "ours" lc rgb "#2a7ab0", \
     ARG1 using ($5/$3*100) title "Debian's Xen 4.17" lc rgb "#c8b48c", \
     100 with lines lc rgb "#202020" title "bare"

set terminal svg size 1300,560 font "sans-serif,13" background "#ffffff"
set output ARG3."/linux-profile.svg"
set rmargin -1
set title "Linux on ours: what the hypervisor's instructions are for"
set style histogram rowstacked
set yrange [0:100]
set key outside right top reverse Left invert
set linetype 1 lc rgb "#2a7ab0"
set linetype 2 lc rgb "#c8b48c"
set linetype 3 lc rgb "#7fb069"
set linetype 4 lc rgb "#d1603d"
set linetype 5 lc rgb "#8d6a9f"
set linetype 6 lc rgb "#e9c46a"
set linetype 7 lc rgb "#5fb3b3"
set linetype 8 lc rgb "#a0522d"
set linetype 9 lc rgb "#f2a7b5"
set linetype 10 lc rgb "#bbbbbb"
plot for [i=2:11] ARG2 using i:xtic(1) title columnheader(i)
