package attacks

import (
	"context"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// segment bisects, in the rows that have entered, the segment from the clean image to an end that is misclassified, for
// the point nearest to the clean image that is.
type segment struct {
	*lanes
	low, high []float64 // shares of the segment: classified correctly and not, as far as is known
	left      []int     // passes to come; 0 in rows that have not entered
}

func newSegment(l *lanes) segment {
	return segment{l, make([]float64, l.size), make([]float64, l.size), make([]int, l.size)}
}

// enter takes a row in for so many bisections; one more pass comes first where the end itself has not been looked at.
func (s *segment) enter(row int, known bool, bisections int) {
	s.low[row], s.high[row], s.left[row] = 0, 1, bisections
	if !known {
		s.high[row], s.left[row] = 2, bisections+1
	}
}

func (s *segment) in(row int) bool { return s.left[row] > 0 }

// rows is the number of rows that have entered.
func (s *segment) rows() (n int) {
	for _, left := range s.left {
		if left > 0 {
			n++
		}
	}
	return n
}

func (s *segment) middle(row int) float64 { return (s.low[row] + s.high[row]) / 2 }

// step is one forward pass in these rows. ends are the images at the end of the segments.
func (s *segment) step(ctx context.Context, t goal, ends *tensors.Tensor) ([]outcome, error) {
	marks, err := s.look(ctx, t, ends)
	if err != nil {
		return nil, err
	}
	var ended []int
	failed := map[int]bool{}
	for row, left := range s.left {
		if left == 0 {
			continue
		}
		s.left[row]--
		switch middle := s.middle(row); {
		case marks[row]&markSure != 0:
			s.high[row] = middle
		case middle == 1: // the end
			failed[row], s.high[row], s.left[row] = true, 1, 0
		default:
			s.low[row] = middle
		}
		if s.left[row] == 0 {
			ended = append(ended, row)
		}
	}
	if len(ended) == 0 {
		return nil, nil
	}
	points, err := s.points(ctx, ends, func(row int) float64 { return s.high[row] })
	if err != nil {
		return nil, err
	}
	images, err := s.images(points, ended)
	if err != nil {
		return nil, err
	}
	var out []outcome
	for _, row := range ended {
		out = append(out, outcome{row, images[row], !failed[row]})
	}
	return out, free(points)
}

// look gives the marks at the middles of the segments, and or-s them into those of the jobs.
func (s *segment) look(ctx context.Context, t goal, ends *tensors.Tensor) ([]int32, error) {
	points, err := s.points(ctx, ends, s.middle)
	if err != nil {
		return nil, err
	}
	s.inputs.images = make([]int, s.rows()) // what the pass counts as
	logits, err := s.scores(ctx, &s.inputs, points)
	if err != nil {
		return nil, err
	}
	judged, err := s.judgeScores(ctx, t, &s.inputs, logits)
	if err != nil {
		return nil, err
	}
	now, err := tensors.CopyFlatData[int32](judged.marks)
	if err != nil {
		return nil, err
	}
	for row := range now {
		if s.in(row) {
			s.marks[row] |= now[row]
		}
	}
	return now, free(points, logits, judged.losses, judged.marks)
}

// points are the images at shares of the segments. Equal shares give equal bits, and share 1 the end.
func (s *segment) points(ctx context.Context, ends *tensors.Tensor, share func(row int) float64) (*tensors.Tensor, error) {
	program, err := segmentProgram(s.engine)
	if err != nil {
		return nil, err
	}
	shares := s.uploadRows(share)
	out, err := s.call(ctx, program, s.inputs.clean, ends, shares)
	if err != nil {
		return nil, err
	}
	return out[0], free(shares)
}

func segmentProgram(e *engine) (*Exec, error) {
	return e.prepareUpdate("segment", "point of a segment", func(in []*Node) []*Node {
		clean, end, share := in[0], in[1], in[2]
		point := ClipScalar(Add(clean, Mul(Sub(end, clean), InsertAxes(share, -1, -1, -1))), 0, 1)
		return []*Node{wherever(Equal(share, OnesLike(share)), end, point)}
	}, e.imageShape(), e.imageShape(), e.lossShape())
}
