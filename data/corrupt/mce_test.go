package corrupt

import (
	"math"
	"strings"
	"testing"
)

// standard holds accuracies of the naturally trained WRN-28-10 of RobustBench on CIFAR-10-C at severities 1 to 5
// (unaggregated_results.csv of RobustBench/robustbench). Its leaderboard says 73.46 %, the mean of these
// rounded values is 73.47.
var standard = map[string][Severities]float64{
	"gaussian_noise":    {.778, .579, .392, .326, .277},
	"shot_noise":        {.850, .757, .535, .454, .343},
	"impulse_noise":     {.829, .691, .574, .401, .271},
	"defocus_blur":      {.946, .934, .890, .774, .531},
	"glass_blur":        {.534, .558, .570, .432, .457},
	"motion_blur":       {.903, .839, .744, .748, .653},
	"zoom_blur":         {.877, .846, .775, .703, .580},
	"snow":              {.899, .804, .837, .805, .749},
	"frost":             {.896, .835, .726, .709, .587},
	"fog":               {.945, .936, .923, .896, .740},
	"brightness":        {.948, .944, .938, .928, .907},
	"contrast":          {.943, .922, .897, .836, .533},
	"elastic_transform": {.905, .902, .859, .789, .734},
	"pixelate":          {.920, .860, .800, .604, .416},
	"jpeg_compression":  {.864, .797, .780, .742, .697},
}

// wrong turns accuracies a into the errors scale (1 - a).
func wrong(scale float64) Errors {
	e := Errors{}
	for name, list := range standard {
		for s := range list {
			list[s] = scale * (1 - list[s])
		}
		e[name] = list
	}
	return e
}

func TestMeanError(t *testing.T) {
	e := wrong(1)
	e["saturate"] = [Severities]float64{1, 1, 1, 1, 1} // does not count
	m, err := MeanError(e)
	if err != nil || math.Abs(100*(1-m)-73.46) > 0.02 {
		t.Errorf("mean accuracy %.3f %% (error %v), want 73.46 %%", 100*(1-m), err)
	}
	groups, err := GroupErrors(e)
	if err != nil || len(groups) != 4 {
		t.Fatalf("%v, %v", groups, err)
	}
	if all := (3*groups[Noise] + 4*groups[Blur] + 4*groups[Weather] + 4*groups[Digital]) / 15; math.Abs(all-m) > 1e-12 {
		t.Errorf("the groups' means make %v, want %v", all, m)
	}
}

func TestMCE(t *testing.T) {
	const clean = 1 - .9478
	model, baseline := wrong(0.5), wrong(1)
	baseline["fog"] = [Severities]float64{.1, .1, .1, .1, .2}
	model["fog"] = [Severities]float64{.2, .2, .2, .2, .4}
	s, err := MCE(model, baseline)
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(s.CE["snow"]-0.5) > 1e-12 || math.Abs(s.CE["fog"]-2) > 1e-12 || math.Abs(s.Mean-(14*0.5+2)/15) > 1e-12 {
		t.Errorf("CE of snow %v and fog %v, mean %v: want 0.5, 2, 0.6", s.CE["snow"], s.CE["fog"], s.Mean)
	}
	if s, err = RelativeMCE(baseline, baseline, clean, clean); err != nil || math.Abs(s.Mean-1) > 1e-12 {
		t.Errorf("against itself: %v, %v, want 1", s.Mean, err)
	}
	if s, err = RelativeMCE(model, baseline, clean/2, clean); err != nil {
		t.Fatal(err)
	}
	if want := (1.2 - 5*clean/2) / (0.6 - 5*clean); math.Abs(s.CE["snow"]-0.5) > 1e-12 || math.Abs(s.CE["fog"]-want) > 1e-12 {
		t.Errorf("relative CE of snow %v and fog %v, want 0.5 and %v", s.CE["snow"], s.CE["fog"], want)
	}
}

func TestMCERefuses(t *testing.T) {
	without := wrong(1)
	delete(without, "frost")
	unknown := wrong(1)
	unknown["rain"] = [Severities]float64{}
	percent := wrong(1)
	percent["snow"] = [Severities]float64{10, 20, 30, 40, 50}
	nan := wrong(1)
	nan["snow"] = [Severities]float64{math.NaN()}
	perfect := wrong(1)
	perfect["contrast"] = [Severities]float64{}
	for _, c := range []struct {
		name            string
		model, baseline Errors
		clean           float64
		want            string
	}{
		{"no frost", without, wrong(1), 0, "the model lack frost"},
		{"baseline without frost", wrong(1), without, 0, "the baseline lack frost"},
		{"unknown", unknown, wrong(1), 0, `unknown corruption "rain": want one of gaussian_noise, shot_noise`},
		{"percent", percent, wrong(1), 0, "snow: error 10 of the model at severity 1: want a share in [0, 1]"},
		{"not a number", wrong(1), nan, 0, "snow: error NaN of the baseline"},
		{"perfect baseline", wrong(1), perfect, 0, "contrast: the baseline's errors"},
		{"clean in percent", wrong(1), wrong(1), 5, "clean error 5: want a share in [0, 1]"},
	} {
		_, err := RelativeMCE(c.model, c.baseline, c.clean, 0)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
	if _, err := MeanError(without); err == nil {
		t.Error("MeanError without frost: no error")
	}
}
