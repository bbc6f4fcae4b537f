package benchmark

import (
	"slices"

	"cure/cureml/recipes"
)

// saved is the card of a row in b.Saved, nil where there is none with numbers that this benchmark would have made.
func (b *Benchmark) saved(name string) (*Card, error) {
	if b.Saved == "" {
		return nil, nil
	}
	card, err := cardIn(b.Saved, name)
	if card == nil || err != nil || !b.ours(card) {
		return nil, err
	}
	return card, nil
}

// withSaved adds the cards of b.Saved that this benchmark would have made and that are not among its own.
func (b *Benchmark) withSaved(own []*Card) ([]*Card, error) {
	if b.Saved == "" {
		return own, nil
	}
	others, err := ReadCards(b.Saved)
	if err != nil {
		return nil, err
	}
	for _, c := range others {
		has := slices.ContainsFunc(own, func(o *Card) bool { return o.Name == c.Name && o.Failed == "" })
		if has || !b.ours(c) {
			continue
		}
		own = slices.DeleteFunc(own, func(o *Card) bool { return o.Name == c.Name }) // one that failed
		own = append(own, c)
	}
	sortCards(own)
	return own, nil
}

// ours says whether a card from elsewhere has numbers of this benchmark's preset, settings and attacks. It may lack
// AutoAttack, which takes as long as all others together and which papers leave out of their ablations.
func (b *Benchmark) ours(c *Card) bool {
	if c.Failed != "" || c.Preset != b.Preset.Name {
		return false
	}
	row, err := recipes.Find(c.Row)
	if err != nil {
		return false
	}
	config, err := b.config(row, c.Config.Arch, c.Seed)
	autoattack := b.AutoAttack
	if c.Evaluation.AutoAttack == 0 {
		autoattack = 0
	}
	return err == nil && len(b.changes(c, config, autoattack)) == 0
}
