package main

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"testing"
)

// FuzzParseRecords: a range that is accepted lies within the records, is not empty and says what the text says.
func FuzzParseRecords(f *testing.F) {
	for _, seed := range []string{"", "0:16", "3:", ":5", ":", "5", "5:3", "3:3", "-1:4", "0:17", "a:b", "0:16:2", " 1:2", "+1:2", "0x1:2", "1e0:2", "9223372036854775808:", "\x00:\xff"} {
		f.Add(seed, 16)
	}
	f.Add("0:1", 0)
	f.Fuzz(func(t *testing.T, text string, n int) {
		if n < 0 || n == 0 && text == "" {
			t.Skip("data sets are not empty")
		}
		a, b, err := parseRecords(text, n)
		if err != nil {
			var wrong usageError
			if a != 0 || b != 0 || !errors.As(err, &wrong) || !strings.Contains(err.Error(), "--records") {
				t.Errorf("%q of %d: %d:%d beside the error %v", text, n, a, b, err)
			}
			return
		}
		if a < 0 || a >= b || b > n {
			t.Fatalf("%q of %d: accepted as %d:%d", text, n, a, b)
		}
		first, last, _ := strings.Cut(text, ":")
		for end, value := range map[string]int{first: a, last: b} {
			if said, err := strconv.Atoi(end); end != "" && first != last && (err != nil || said != value) {
				t.Errorf("%q: %s taken for %d", text, end, value)
			}
		}
	})
}

// FuzzParsePixels: what is accepted is finite and not negative, and errors name the flag.
func FuzzParsePixels(f *testing.F) {
	for _, seed := range []string{"8/255", "0.031", "-1", "NaN", "8/", "/", "1e999", "2/3/4", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := parsePixels("eps", text)
		if err == nil && !(v >= 0 && !math.IsInf(v, 0)) {
			t.Errorf("%q: accepted as %g", text, v)
		}
		if err != nil && (v != 0 || !strings.HasPrefix(err.Error(), "--eps: ")) {
			t.Errorf("%q: %g beside the error %v", text, v, err)
		}
	})
}
