package viz

import (
	"fmt"
	"math"
	"strings"
	"unicode"

	"gonum.org/v1/plot/font"
)

// clean makes a line printable: control characters would show as boxes.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}

// textWidth is the width of the widest line of s, in pixels.
func textWidth(f font.Font, s string) float64 {
	face := fonts.Lookup(f, f.Size)
	var widest float64
	for line := range strings.SplitSeq(s, "\n") {
		widest = max(widest, face.Width(clean(line)).Points()*pxPerPt)
	}
	return widest
}

// capHeight is the height of capitals and digits (0.72 em in Liberation Sans),
// lineHeight the distance of baselines, both in pixels.
func capHeight(f font.Font) float64  { return math.Round(0.72 * f.Size.Points() * pxPerPt) }
func lineHeight(f font.Font) float64 { return math.Round(1.25 * f.Size.Points() * pxPerPt) }

// truncate shortens one line to the given width, with an ellipsis.
func truncate(f font.Font, s string, width float64) string {
	if textWidth(f, s) <= width {
		return s
	}
	runes := []rune(s)
	for n := len(runes) - 1; n > 0; n-- {
		short := strings.TrimRight(string(runes[:n]), " ") + "…"
		if textWidth(f, short) <= width {
			return short
		}
	}
	return "…"
}

// wrap breaks s at spaces (and at its own line ends) into at most maxLines lines
// of the given width; what does not fit ends in an ellipsis.
func wrap(f font.Font, s string, width float64, maxLines int) []string {
	var lines []string
	for para := range strings.SplitSeq(strings.TrimRight(s, "\n"), "\n") {
		line := ""
		for word := range strings.FieldsSeq(para) {
			joined := word
			if line != "" {
				joined = line + " " + word
			}
			if line == "" || textWidth(f, joined) <= width {
				line = joined
				continue
			}
			lines = append(lines, line)
			line = word
		}
		lines = append(lines, line)
	}
	if len(lines) > maxLines {
		lines[maxLines-1] += " " + strings.Join(lines[maxLines:], " ")
		lines = lines[:maxLines]
	}
	for i := range lines {
		lines[i] = truncate(f, lines[i], width)
	}
	return lines
}

// wrapped is wrap, joined to one string.
func wrapped(f font.Font, s string, width float64, maxLines int) string {
	return strings.Join(wrap(f, s, width, maxLines), "\n")
}

// blockHeight is the height in pixels that n lines take, from the top of the
// first capitals to the descent of the last line.
func blockHeight(f font.Font, n int) int {
	if n == 0 {
		return 0
	}
	return int(float64(n) * lineHeight(f))
}

// usable tells whether v can be placed on an axis. Beyond 1e300 differences
// overflow, so such values count as infinite.
func usable(v float64) bool { return math.Abs(v) <= 1e300 } // false for NaN

// autoFormat writes v with a precision that suits the largest magnitude shown.
func autoFormat(v, largest float64) string {
	switch {
	case v == 0:
		return "0"
	case largest >= 1e6 || largest < 1e-3:
		return tidyExp(fmt.Sprintf("%.1e", v))
	case largest >= 1000:
		return fmt.Sprintf("%.0f", v)
	case largest >= 10:
		return fmt.Sprintf("%.1f", v)
	case largest >= 0.1:
		return fmt.Sprintf("%.2f", v)
	default:
		return fmt.Sprintf("%.4f", v)
	}
}

// slant of long names under an axis.
const slant = 35 * math.Pi / 180

// slantedName shortens a name that will end at x to stay on the page.
func slantedName(s string, x float64) string {
	return truncate(tickFont, clean(s), min(220, (x-outer/2)/math.Cos(slant)))
}
