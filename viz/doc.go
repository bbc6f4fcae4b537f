// Package viz draws the figures of this project: Go values in, PNG out.
//
// Every plotting function takes a small options struct, whose zero value is
// meant to be useful, and plain slices, and returns a finished [Figure]:
//
//	fig, err := viz.Curves(
//		viz.CurvesOptions{Title: "Robust overfitting", XLabel: "epoch", YLabel: "robust accuracy (%)"},
//		viz.Series{Name: "TRADES", Y: trades, Std: tradesStd},
//		viz.Series{Name: "CURE", Y: cure, Std: cureStd},
//	)
//	if err != nil { ... }
//	err = viz.Show(fig)              // in a notebook; does nothing elsewhere
//	err = viz.Save(fig, "curves.png") // anywhere
//
// The kinds of figure:
//
//   - [Curves]: named series with mean ± std bands; linear or log axes.
//   - [Bars]: groups of bars with error bars and value labels.
//   - [Heatmap]: a matrix with its values written in the cells.
//   - [ImageGrid] and [AdvTriples]: images, pixel for pixel, with captions and
//     borders around wrong predictions; clean, adversarial and amplified difference.
//   - [Histogram] and [ECDF]: distributions.
//   - [Reliability]: calibration, with the expected calibration error.
//   - [Radar]: one polygon per method over named axes.
//   - [Tradeoff]: natural against robust accuracy, with contours of their harmonic mean.
//   - [Landscape]: a loss surface on a 2-D grid, filled, with contour lines.
//   - [Table]: plain, Markdown, HTML and CSV text, and a picture as well; with footnotes.
//   - [Grid] puts several figures into one; [Live] redraws curves in a notebook
//     cell while a training runs.
//
// # Look
//
// Figures are 15 cm wide unless told otherwise, at 144 dots per inch (850 pixels),
// in one theme: white ground, Liberation Sans, the colour-blind-safe palette of
// Okabe and Ito ([Palette]), viridis for heat maps and a blue-white-orange map
// for signed values. Widths and heights in options are centimetres; Height is
// that of the figure with at most one row of legend and one line of title, and
// more rows make the figure taller instead of the axes smaller.
//
// Drawing is deterministic and offline: the same input gives the same pixels.
//
// # Values that cannot be drawn
//
// Nothing here panics on bad input. A NaN or an infinity in a curve, a bar, a
// histogram or a heat map is left out *and said so in the picture* (a gap and a
// note in the legend, "n/a" over the bar, a grey cell); where a picture without
// it would mislead (radar, trade-off, reliability, images) it is an error. So
// are mismatched lengths, missing series, and figures with nothing finite in
// them; the error names the value and what is accepted. Magnitudes beyond 1e300
// count as infinite.
package viz
