package viz

import (
	"fmt"

	"github.com/janpfeifer/gonb/gonbui"
	"github.com/janpfeifer/gonb/gonbui/protocol"
)

// Showable is what [Show] can display: a [*Figure] or a [*Table].
type Showable interface {
	// message is what a notebook is told to display.
	message() (*protocol.DisplayData, error)
}

func (f *Figure) message() (*protocol.DisplayData, error) {
	data, err := f.compact()
	if err != nil {
		return nil, err
	}
	return &protocol.DisplayData{Data: map[protocol.MIMEType]any{protocol.MIMEImagePNG: data}}, nil
}

func (t *Table) message() (*protocol.DisplayData, error) {
	text, err := t.HTML()
	if err != nil {
		return nil, err
	}
	return &protocol.DisplayData{Data: map[protocol.MIMEType]any{protocol.MIMETextHTML: text}}, nil
}

// Show displays figures (as PNG, in 256 colours) and tables (as HTML) under the running cell of
// a GoNB notebook, and returns once the notebook has them. Outside a notebook it
// displays nothing; what cannot be displayed is an error in both places.
func Show(items ...Showable) error {
	for i, item := range items {
		if item == nil {
			return fmt.Errorf("viz: show: item %d is nil: want a figure or a table", i)
		}
		msg, err := item.message()
		if err != nil {
			return fmt.Errorf("viz: show: item %d: %w", i, err)
		}
		if gonbui.IsNotebook {
			gonbui.SendData(msg)
		}
	}
	return flush()
}

// flush waits until the notebook has received everything. Waiting on a broken
// connection would never end, so it is looked at first.
func flush() error {
	if !gonbui.IsNotebook {
		return nil
	}
	if err := gonbui.Error(); err != nil {
		return fmt.Errorf("viz: notebook: %w", err)
	}
	gonbui.Sync()
	return nil
}
