// Package study runs the experiments of the notebooks: trainings that are done once, and attacks that are measured once.
//
// Every cell of a notebook is a process of its own, so nothing that a cell computes is there for the next one unless it
// lies in a file. A [Study] is a folder of such files, runs/mini/ say:
//
//	natural/  a run folder: config.json, metrics.jsonl, final.safetensors ...
//	trades/   another one
//	cure/     a third
//	  eval-0c1b….json             a report, as `cure eval` writes them
//	  examples-77ab….safetensors  adversarial images and what the network says to them
//	zoo-natural/  such files alone, for a shipped network
//
// [Study.Train] leaves a finished run alone and goes on with an interrupted one; [Study.Attack] and [Study.Examples] read
// what they have measured before, as long as weights, images and attacks are the same. The size of everything is a
// [Preset], chosen by the variable CURE_PRESET, so that one notebook serves a test of minutes, a laptop and a GPU.
//
// [Traces] are trainings that keep their networks as they go, and analyses that follow them.
//
//	s, err := study.Open("runs")
//	m, err := s.Train("natural", s.Config("natural"), nil)
//	epochs, accuracy := m.Series("epoch", "test_clean")
//	reports, err := s.Attack([]string{"natural"}, list)
package study
