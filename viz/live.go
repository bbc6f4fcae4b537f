package viz

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/janpfeifer/gonb/gonbui"
)

// LiveOptions are the settings of [NewLive].
type LiveOptions struct {
	// Every is the least time between two redrawings; 0 means 2 s.
	Every time.Duration
	// Panels holds the settings of panels by name. A panel without an entry gets
	// its name as title.
	Panels map[string]CurvesOptions
}

// Live draws curves that grow while a program runs. In a notebook the picture
// under the cell is replaced in place as points arrive; what stays in the saved
// or exported notebook is the last picture, as an ordinary PNG. Outside a
// notebook nothing is displayed and [Live.Close] gives the final figure.
//
//	live := viz.NewLive(viz.LiveOptions{})
//	for step, loss := range losses {
//		live.Add("loss", "train", float64(step), loss)
//	}
//	fig, err := live.Close()
//
// Methods may be called from several goroutines.
type Live struct {
	opt LiveOptions
	now func() time.Time // the clock only paces the redrawing

	mu     sync.Mutex
	panels []livePanel
	id     string // of the notebook's output that is replaced
	last   time.Time
}

type livePanel struct {
	name   string
	series []Series
}

// NewLive starts with an empty picture; panels and series appear as points do.
func NewLive(opt LiveOptions) *Live {
	return &Live{opt: opt, now: time.Now}
}

// due says whether it is time to redraw, by default every 2 s.
func (l *Live) due() bool {
	if l.now == nil { // of a Live that NewLive did not make
		l.now = time.Now
	}
	every := l.opt.Every
	if every <= 0 {
		every = 2 * time.Second
	}
	return l.now().Sub(l.last) >= every
}

// Add appends a point to a series of a panel and, in a notebook and when it is
// time, redraws. A point that cannot be drawn (NaN) leaves a gap, as in [Curves];
// errors of drawing wait for [Live.Close], so that they do not stop a training.
func (l *Live) Add(panel, series string, x, y float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.find(panel, series)
	s.X, s.Y = append(s.X, x), append(s.Y, y)
	if gonbui.IsNotebook && l.due() {
		fig, _ := l.figure() // errors wait for Close
		l.send(fig)
		l.last = l.now()
	}
}

// find returns the series, making it and its panel when they are new.
func (l *Live) find(panel, series string) *Series {
	at := -1
	for i := range l.panels {
		if l.panels[i].name == panel {
			at = i
		}
	}
	if at < 0 {
		at = len(l.panels)
		l.panels = append(l.panels, livePanel{name: panel})
	}
	p := &l.panels[at]
	for i := range p.series {
		if p.series[i].Name == series {
			return &p.series[i]
		}
	}
	p.series = append(p.series, Series{Name: series})
	return &p.series[len(p.series)-1]
}

// Figure draws what there is: one panel at full width, more of them in pairs. A
// panel that cannot be drawn (all its values are NaN) is left out and named in
// the error, which then comes beside the figure of the others.
func (l *Live) Figure() (*Figure, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.figure()
}

func (l *Live) figure() (*Figure, error) {
	if len(l.panels) == 0 {
		return nil, fmt.Errorf("viz: live: no points yet: want at least one Add")
	}
	cols := min(2, len(l.panels))
	var figs []*Figure
	var failed []error
	for _, p := range l.panels {
		opt := l.opt.Panels[p.name]
		if opt.Title == "" {
			opt.Title = p.name
		}
		if opt.Width == 0 {
			opt.Width = defWidth / float64(cols)
		}
		if opt.Height == 0 && cols > 1 {
			opt.Height = 6.5
		}
		fig, err := Curves(opt, p.series...)
		if err != nil {
			failed = append(failed, fmt.Errorf("viz: live: panel %q: %w", p.name, err))
			continue
		}
		figs = append(figs, fig)
	}
	if len(figs) == 0 {
		return nil, errors.Join(failed...)
	}
	fig, err := Grid(cols, figs...)
	return fig, errors.Join(append(failed, err)...)
}

// send replaces the picture in the notebook; without a figure it does nothing.
func (l *Live) send(fig *Figure) {
	msg, err := fig.message()
	if err != nil {
		return // no figure
	}
	if l.id == "" {
		l.id = "viz_live_" + gonbui.UniqueId()
	}
	msg.DisplayID = l.id
	gonbui.SendData(msg)
}

// Close draws the final picture as [Live.Figure] does, puts it in the notebook,
// and returns it.
func (l *Live) Close() (*Figure, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fig, err := l.figure()
	if gonbui.IsNotebook {
		l.send(fig)
	}
	return fig, errors.Join(err, flush())
}
