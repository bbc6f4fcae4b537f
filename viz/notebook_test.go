//go:build unix

package viz

import (
	"bytes"
	"encoding/gob"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/janpfeifer/gonb/gonbui"
	"github.com/janpfeifer/gonb/gonbui/protocol"
)

// fakeKernel plays the part of GoNB: it reads what a cell displays from one
// named pipe and answers requests to synchronise on another. gonbui keeps one
// connection for the life of a process, so all tests share it.
type fakeKernel struct {
	mu   sync.Mutex
	msgs []protocol.DisplayData
}

var kernel = sync.OnceValues(func() (*fakeKernel, error) {
	dir, err := os.MkdirTemp("", "viz-kernel-")
	if err != nil {
		return nil, err
	}
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	for _, p := range []string{in, out} {
		if err := syscall.Mkfifo(p, 0o600); err != nil {
			return nil, err
		}
	}
	os.Setenv(protocol.GONB_PIPE_ENV, in)
	os.Setenv(protocol.GONB_PIPE_BACK_ENV, out)
	k := &fakeKernel{}
	go k.serve(in, out, dir)
	return k, nil
})

func (k *fakeKernel) serve(in, out, dir string) {
	r, err := os.Open(in)
	if err != nil {
		return
	}
	w, err := os.OpenFile(out, os.O_WRONLY, 0)
	if err != nil {
		return
	}
	os.RemoveAll(dir) // both ends are open
	enc, dec := gob.NewEncoder(w), gob.NewDecoder(r)
	for {
		var msg protocol.DisplayData
		if dec.Decode(&msg) != nil {
			return
		}
		if v, ok := msg.Data[protocol.MIMECommValue]; ok {
			if enc.Encode(&protocol.CommValue{Address: protocol.GonbuiSyncAckAddress, Value: v.(protocol.CommValue).Value}) != nil {
				return
			}
			continue
		}
		k.mu.Lock()
		k.msgs = append(k.msgs, msg)
		k.mu.Unlock()
	}
}

// take returns the messages since the last call.
func (k *fakeKernel) take() []protocol.DisplayData {
	k.mu.Lock()
	defer k.mu.Unlock()
	msgs := k.msgs
	k.msgs = nil
	return msgs
}

// inNotebook runs the rest of a test as if GoNB had started it.
func inNotebook(t *testing.T) *fakeKernel {
	t.Helper()
	k, err := kernel()
	if err != nil {
		t.Skipf("no named pipes here: %v", err)
	}
	was := gonbui.IsNotebook
	gonbui.IsNotebook = true
	t.Cleanup(func() { gonbui.IsNotebook = was })
	k.take()
	return k
}

func TestShowInNotebook(t *testing.T) {
	k := inNotebook(t)
	fig, err := Curves(CurvesOptions{Width: 5, Height: 4}, Series{Y: []float64{1, 2}})
	if err != nil {
		t.Fatal(err)
	}
	if err := Show(fig, testTable); err != nil {
		t.Fatal(err)
	}
	msgs := k.take() // Show returns only when the kernel has everything
	if len(msgs) != 2 {
		t.Fatalf("%d messages, want 2", len(msgs))
	}
	data, err := fig.compact()
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := msgs[0].Data[protocol.MIMEImagePNG].([]byte); !bytes.Equal(got, data) {
		t.Errorf("the figure arrived as %d bytes, want the %d of its compact PNG", len(got), len(data))
	}
	text, err := testTable.HTML()
	if err != nil {
		t.Fatal(err)
	}
	if got := msgs[1].Data[protocol.MIMETextHTML]; got != text {
		t.Errorf("the table arrived as %q, want its HTML", got)
	}
}

func TestShowOutsideNotebook(t *testing.T) {
	if gonbui.IsNotebook {
		t.Skip("started by GoNB")
	}
	fig, err := Curves(CurvesOptions{}, Series{Y: []float64{1, 2}})
	if err != nil {
		t.Fatal(err)
	}
	if err := Show(fig, testTable); err != nil {
		t.Errorf("show outside a notebook: %v, want nothing to happen", err)
	}
	if err := Show(fig, nil); err == nil || !strings.Contains(err.Error(), "item 1") {
		t.Errorf("show nil: %v, want an error that names item 1", err)
	}
	if err := Show((*Figure)(nil)); err == nil {
		t.Error("show a nil figure: no error")
	}
}

func TestLiveReplacesItsPicture(t *testing.T) {
	k := inNotebook(t)
	clock := time.Unix(0, 0)
	l := NewLive(LiveOptions{Every: 10 * time.Second, Panels: map[string]CurvesOptions{"loss": {Width: 5, Height: 4}}})
	l.now = func() time.Time { return clock }
	for i := range 35 { // a point a second: drawn at 0, 10, 20 and 30 s
		l.Add("loss", "train", float64(i), 1/float64(i+1))
		clock = clock.Add(time.Second)
	}
	fig, err := l.Close()
	if err != nil {
		t.Fatal(err)
	}
	msgs := k.take()
	if len(msgs) != 5 {
		t.Fatalf("%d pictures, want 4 while running and the final one", len(msgs))
	}
	for i, m := range msgs {
		if m.DisplayID == "" || m.DisplayID != msgs[0].DisplayID {
			t.Errorf("picture %d has display id %q and the first %q: want one and the same, so that it is replaced", i, m.DisplayID, msgs[0].DisplayID)
		}
	}
	data, err := fig.compact()
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := msgs[4].Data[protocol.MIMEImagePNG].([]byte); !bytes.Equal(got, data) {
		t.Error("the last picture sent is not the figure that Close returned")
	}
	other := NewLive(LiveOptions{})
	other.Add("a", "b", 0, 1)
	if _, err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if id := k.take()[0].DisplayID; id == msgs[0].DisplayID {
		t.Error("two Lives share a display id")
	}
}

// TestZeroLive: a Live that NewLive did not make works as one with default settings.
func TestZeroLive(t *testing.T) {
	zero, made := new(Live), NewLive(LiveOptions{})
	var figs [2]*Figure
	for i, l := range []*Live{zero, made} {
		l.Add("loss", "train", 0, 2)
		l.Add("loss", "train", 1, 1)
		var err error
		if figs[i], err = l.Figure(); err != nil {
			t.Fatal(err)
		}
		if l.due(); l.now == nil {
			t.Error("no clock")
		}
	}
	if !bytes.Equal(figs[0].img.Pix, figs[1].img.Pix) {
		t.Error("other pixels than by NewLive")
	}
}

func TestLiveEqualsCurves(t *testing.T) {
	l := NewLive(LiveOptions{Panels: map[string]CurvesOptions{"loss": {XLabel: "step"}}})
	if _, err := l.Figure(); err == nil {
		t.Error("a figure without points: no error")
	}
	var x, y []float64
	var wg sync.WaitGroup
	for i := range 10 {
		x, y = append(x, float64(i)), append(y, float64(i*i))
		l.Add("loss", "train", float64(i), float64(i*i))
		wg.Go(func() { l.Figure() }) // drawing beside adding must be safe
	}
	wg.Wait()
	got, err := l.Close()
	if err != nil {
		t.Fatal(err)
	}
	want := must(t)(Curves(CurvesOptions{Title: "loss", XLabel: "step"}, Series{Name: "train", X: x, Y: y}))
	if !bytes.Equal(got.img.Pix, want.Pix) {
		t.Error("one panel differs from the same curves drawn at once")
	}
	l.Add("broken", "train", 0, math.NaN())
	fig, err := l.Close()
	if fig == nil || err == nil || !strings.Contains(err.Error(), `"broken"`) {
		t.Errorf("with a panel of NaN only: figure %v, error %v: want the other panel and an error that names this one", fig != nil, err)
	}
}
