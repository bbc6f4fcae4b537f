package bench

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestPlan(t *testing.T) {
	for _, c := range []struct {
		groups [][]Job
		want   string
	}{
		{plan(t, "cure-step,natural-step", []int{2, 0}, []int{4, 8}),
			"[[cure-step 2 4 natural-step 2 4] [cure-step 2 8 natural-step 2 8] [cure-step 64 4 natural-step 64 4] [cure-step 64 8 natural-step 64 8]]"},
		{plan(t, "cka,trades-step,rgp-mask", []int{2}, []int{4}, "official", "jax"),
			"[[trades-step 2 4 trades-step 2 4 official trades-step 2 4 jax] [cka 2 4 rgp-mask 2 4]]"},
	} {
		got := fmt.Sprint(c.groups)
		for _, j := range slices.Concat(c.groups...) {
			short := fmt.Sprintf("%s %d %d", j.Name, j.Width, j.Batch)
			if j.Peer != "" {
				short += " " + j.Peer
			}
			got = strings.Replace(got, j.String(), short, 1)
		}
		if got != c.want {
			t.Errorf("got %v, want %v", got, c.want)
		}
	}
	for _, c := range []struct {
		name, arch   string
		width, batch int
		want         string
	}{
		{"fast-step", "resnet18", 2, 4, `unknown step "fast-step": accepted are ` + strings.Join(Names(), ", ")},
		{"natural-step", "vgg", 2, 4, `unknown arch "vgg"`},
		{"natural-step", "resnet18", -2, 4, "width -2"},
		{"natural-step", "resnet18", 2, 0, "batch 0"},
		{"natural-step", "resnet18", 2, 1 << 20, "batch 1048576"},
		{"forward", "resnet18", 2, 1 << 20, "batch 1048576"},
		{"autoattack", "resnet18", 2, 4, "shipped network, resnet18 of width 16"},
	} {
		if _, err := Plan(Request{Names: []string{c.name}, Arch: c.arch, Widths: []int{c.width}, Batches: []int{c.batch}}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: error %v", c, err)
		}
	}
	plain := Request{Names: []string{"at-step"}, Arch: "resnet18", Widths: []int{2}, Batches: []int{4}}
	named := plain
	named.Compute = "float32"
	want, err := Plan(plain)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Plan(named); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("float32 by its name: %v (%v), want %v", got, err, want)
	}
	if _, err := Plan(Request{Arch: "resnet18", Widths: []int{2}, Batches: []int{4}}); err == nil {
		t.Error("no names: no error")
	}
	if _, err := Plan(Request{Names: []string{"at-step"}, Arch: "resnet18", Widths: []int{2}, Batches: []int{4}, Peers: []string{"abacus"}}); err == nil || !strings.Contains(err.Error(), `"abacus": accepted are `+strings.Join(Peers(), ", ")) {
		t.Errorf("unknown peer: error %v", err)
	}
	if _, err := Plan(Request{Names: []string{"at-step"}, Arch: "resnet18", Widths: []int{64, 0}, Batches: []int{4}}); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("the published width twice: error %v", err)
	}
}

// TestScaling: each direction changes its own field alone, and its rows come back from a result.
func TestScaling(t *testing.T) {
	r := ScalingRequest{Arch: "resnet18", Width: 8, Batch: 16, Attack: []int{1, 10, 20}, Devices: []int{1, 2}}
	groups, err := Scaling(r)
	if err != nil {
		t.Fatal(err)
	}
	var rows []Row
	for _, g := range groups {
		for _, j := range g {
			rows = append(rows, Row{Name: j.Name, Arch: j.Arch, Batch: j.Batch, Width: j.Width, Attack: j.Attack, Devices: j.Devices})
		}
	}
	middle := Row{Name: "trades-step", Arch: "resnet18", Width: 8, Batch: 16, Attack: 10, Devices: 1}
	for i, want := range [][]int{{4, 8, 16, 32}, {4, 8, 16, 32}, {1, 10, 20}, {1, 2}} {
		line := Along(r, rows, i)
		var got []int
		for _, row := range line {
			got = append(got, Directions[i].Of(row))
			for k, d := range Directions {
				if k != i && d.Of(row) != d.Of(middle) {
					t.Errorf("%s: row %+v differs from the middle in %s", Directions[i].Name, row, d.Name)
				}
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", Directions[i].Name, got, want)
		}
	}
	for _, bad := range []func(*ScalingRequest){
		func(r *ScalingRequest) { r.Width = 3 }, func(r *ScalingRequest) { r.Batch = 6 }, func(r *ScalingRequest) { r.Attack = r.Attack[:1] },
		func(r *ScalingRequest) { r.Devices = nil }, func(r *ScalingRequest) { r.Arch = "vgg" }, func(r *ScalingRequest) { r.Devices = []int{3} },
	} {
		broken := r
		bad(&broken)
		if _, err := Scaling(broken); err == nil {
			t.Errorf("%+v: no error", broken)
		}
	}
}

// TestSuites: every suite can be planned, with and without peers.
func TestSuites(t *testing.T) {
	for _, name := range Suites() {
		alone, err := Suite(name, "", nil)
		if err != nil || len(alone) == 0 {
			t.Fatalf("%s: %d groups, error %v", name, len(alone), err)
		}
		with, err := Suite(name, "", Peers())
		if err != nil || len(with) <= len(alone) {
			t.Errorf("%s: %d groups with peers, %d without, error %v", name, len(with), len(alone), err)
		}
	}
	if _, err := Suite("huge", "", nil); err == nil || !strings.Contains(err.Error(), `"huge": accepted are quick, full`) {
		t.Errorf("unknown suite: error %v", err)
	}
}

// TestShapes: the convolutions of a ResNet-18, once each, and what their workers answer on the Go backend.
func TestShapes(t *testing.T) {
	groups, err := Shapes(4, 2, "go", []string{"pytorch", "jax"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i, g := range groups {
		if len(g) != 2 || g[1].Peer != "pytorch" || g[0].Name != convolutions[i%3] {
			t.Fatalf("group %v", g)
		}
		if i%3 == 0 {
			got = append(got, g[0].Shape.String())
		}
		groups[i] = g[:1]
	}
	want := []string{"32x32 3->4 3x3", "32x32 4->4 3x3", "32x32 4->8 3x3 /2", "16x16 8->8 3x3", "16x16 8->16 3x3 /2", "8x8 16->16 3x3", "8x8 16->32 3x3 /2", "4x4 32->32 3x3"}
	if !slices.Equal(got, want) {
		t.Errorf("shapes %q, want %q", got, want)
	}
	if g := groups[6][0].Shape.GFLOP(64); math.Abs(g-2e-9*64*16*16*9*4*8) > 1e-12 {
		t.Errorf("%v GFLOP", g)
	}
	r, err := Run(t.Context(), groups[6:9], Options{Rounds: 1, Worker: start("real")})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Rows) != 3 || r.Rows[2].Shape == nil || *r.Rows[2].Shape != groups[8][0].Shape {
		t.Errorf("rows %+v", r.Rows)
	}
	if _, err := Shapes(0, 2, "go", nil); err == nil || !strings.Contains(err.Error(), "width 0") {
		t.Errorf("width 0: error %v", err)
	}
}
