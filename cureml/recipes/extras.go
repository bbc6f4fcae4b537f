package recipes

import "cure/cureml/optim"

// reported are values from elsewhere than the table: natural, PGD-20, AutoAttack and C&W accuracy in per cent.
func reported(source string, nat, pgd20, aa, cw float64) Published {
	p := published(nat, pgd20, aa, cw)
	p.Source = source
	return p
}

func onResNet(p Published) map[string]Published { return map[string]Published{resnet18: p} }

func onWide(p Published) map[string]Published { return map[string]Published{wideResNet: p} }

// extraRows are the methods and wrappers that the table does not have.
func extraRows() []Row {
	robustTraining := everywhere(steps(110, 5e-4, 100, 105))
	distilled := everywhere(steps(200, 2e-4, 101))
	late := steps(200, 5e-4, 100, 150)
	halves := steps(200, 5e-4, 101, 151) // Rice et al.: after half and three quarters of the epochs
	lbgat := Training{Epochs: 100, WeightDecay: 2e-4, Schedule: lbgatSchedule}
	list := []Row{
		{Name: "cure-eff", Title: "CURE-Eff", Method: "cure-eff", Cost: 0.85, Paper: curePaper,
			Published: onResNet(reported("CURE (arXiv 2401.14948)", 83.51, 54.90, 48.50, 51.94)),
			Source:    "Gowda, Zonooz and Arani, ICLR 2024 (NeurAI-Lab/CURE train_warmup.py)",
			Note:      "Two fifths of the epochs are natural; then CURE, with a true copy as revision model."},
		{Name: "fat-trades", Title: "FAT-TRADES", Method: "fat-trades", Cost: 1, Paper: everywhere(steps(85, 2e-4, 75)),
			Published: onWide(reported("FAT's README, PGD without random start", 86.60, 55.98, none, 54.29).
				elsewhere("RobustBench, probably of eps 16/255: natural 84.52, AutoAttack 53.51")),
			Source: "Zhang et al., ICML 2020 (zjfheart/Friendly-Adversarial-Training FAT_for_TRADES.py)"},
		{Name: "fat-mart", Title: "FAT-MART", Method: "fat-mart", Cost: 1, Paper: everywhere(steps(90, 2e-4, 60, 90)),
			Source: "Zhang et al., ICML 2020 (zjfheart/Friendly-Adversarial-Training FAT_for_MART.py)"},
		{Name: "iad-2", Title: "IAD-II", Method: "iad-2", Robust: "at", Natural: "natural", Cost: 1.3, Paper: distilled,
			Published: onResNet(reported("IAD's table, AT teacher", none, none, 48.58, none)), Source: "Zhu et al., ICLR 2022 (ZFancy/IAD IAD-II.py)"},
		{Name: "akd2", Title: "AKD2", Method: "akd2", Set: []string{"akd2.robust=0.5", "akd2.natural=0.25", "akd2.temperature=1"},
			Robust: "at", Natural: "natural", Cost: 1.05, Paper: distilled,
			Published: onResNet(reported("IAD's table, AT teacher", none, none, 48.08, none)), Source: "Chen et al., ICLR 2021 (ZFancy/IAD AKD2.py)",
			Note: "Weights and temperature of IAD's code, whose number is published; the method's defaults are the authors' own."},
		{Name: "las-trades", Title: "LAS-TRADES", Method: "las-trades", Cost: 3.5, Paper: everywhere(steps(100, 5e-4, 76, 91)),
			Source: "Jia et al., CVPR 2022 (jiaxiaojunQAQ/LAS-AT LAS_Trades)"},
		{Name: "hat", Title: "HAT", Method: "hat", Natural: "natural", Cost: 1.3,
			Paper:     everywhere(Training{Epochs: 50, Schedule: optim.OneCycle(0.21, 0.25), WeightDecay: 5e-4, Nesterov: true}),
			Published: onResNet(reported("Rade and Moosavi-Dezfooli, ICLR 2022", 84.90, none, 49.08, none)), Source: "imrahulr/hat train.py"},
		{Name: "lbgat", Title: "LBGAT0", Method: "lbgat", Set: []string{"lbgat.beta=0"}, Cost: 1.1,
			Paper:     map[string]Training{resnet18: lbgat, wideResNet: lbgat.with("lbgat.natural.arch=resnet18")},
			Published: onWide(reported("RobustBench", 88.22, none, 52.86, none)), Source: "Cui et al., ICCV 2021 (dvlab-research/LBGAT)",
			Note: "The natural partner of a WRN-34-10 is a ResNet-18, as published, that of any other network its own kind."},
		{Name: "score", Title: "SCORE", Method: "score", Cost: 1,
			Paper:  everywhere(Training{Epochs: 110, Schedule: optim.Step(0.05, 0.1, 100, 105), WeightDecay: 5e-4}),
			Source: "Pang et al., ICML 2022 (P2333/SCORE without_DDPM)", Note: "Without generated data, attack PGD."},
		{Name: "score-trades", Title: "SCORE, TRADES", Method: "score-trades", Cost: 1,
			Paper:     everywhere(Training{Epochs: 110, Schedule: optim.Step(0.05, 0.1, 100, 105), WeightDecay: 5e-4}),
			Published: onResNet(reported("a survey by others, probably of this variant", none, none, 49.63, none)), Source: "Pang et al., ICML 2022 (P2333/SCORE without_DDPM)"},
		{Name: "dafa", Title: "DAFA", Method: "dafa", Cost: 1,
			Paper:  everywhere(Training{Epochs: 110, Schedule: optim.Step(0.1, 0.1, 100, 105), WeightDecay: 5e-4, Nesterov: true}),
			Source: "Lee et al., ICLR 2024 (rucy74/DAFA)"},
		{Name: "adr", Title: "ADR", Method: "adr", Cost: 1, Paper: everywhere(late),
			Published: of(reported("ADR's README", 82.41, none, 50.39, none), reported("ADR's README", 84.67, none, 53.24, none)),
			Source:    "Wu, Wang and Chen, ICLR 2024 (yuyuwu5/ADR)"},
		{Name: "adr-trades", Title: "ADR-TRADES", Method: "adr-trades", Cost: 1.25, Paper: everywhere(late), Source: "Wu, Wang and Chen, ICLR 2024 (yuyuwu5/ADR)"},
		{Name: "free-at", Title: "Free-AT", Method: "free-at", Cost: 2.1,
			Paper:     everywhere(Training{Epochs: 10, Schedule: optim.Triangular(0.04), WeightDecay: 5e-4}),
			Published: onWide(unpublished.elsewhere("RobustBench, WRN-32-10: natural 86.11, AutoAttack 41.47")),
			Source:    "Shafahi et al., NeurIPS 2019 (locuslab/fast_adversarial train_free.py)", Note: "An epoch sees every batch 8 times in a row."},
		{Name: "fast-at", Title: "Fast-AT", Method: "fast-at", Cost: 0.33,
			Paper:     everywhere(Training{Epochs: 15, Schedule: optim.Triangular(0.2), WeightDecay: 5e-4}),
			Published: onResNet(unpublished.elsewhere("RobustBench, PreActResNet-18: natural 83.34, AutoAttack 43.21")),
			Source:    "Wong, Rice and Kolter, ICLR 2020 (locuslab/fast_adversarial train_fgsm.py)"},
		{Name: "at-awp", Title: "AT-AWP", Method: "at", Set: []string{"at.face=rice", "awp.gamma=0.01"}, Cost: 1, Paper: everywhere(halves),
			Published: of(reported("MAIR", none, none, 50.80, none), reported("AWP's repository, best checkpoint", 85.41, 58.30, none, none)),
			Source:    "Wu, Xia and Wang, NeurIPS 2020 (csdongxian/AWP AT_AWP)",
			Note:      "Batch norms as in the face rice of AT; the released code attacks the first batch of each epoch in mode E."},
		{Name: "trades-awp", Title: "TRADES-AWP", Method: "trades", Set: []string{"attack.eps=8/255", "attack.step_size=2/255", "awp.gamma=0.005"},
			Cost: 1.5, Paper: everywhere(late.with("awp.start=9")),
			Published: of(reported("MAIR", none, none, 51.62, none), reported("RobustBench", 85.36, none, 56.17, none)),
			Source:    "Wu, Xia and Wang, NeurIPS 2020 (csdongxian/AWP trades_AWP)"},
		{Name: "at-rwp", Title: "AT-RWP", Method: "at", Set: []string{"at.face=rice", "rwp.gamma=0.01"}, Cost: 3.2, Paper: everywhere(halves),
			Source: "Yu et al., IJCAI 2022 (ChaojianYu/Robust-Weight-Perturbation)", Note: "Batch norms as in AT-AWP."},
		{Name: "trades-average", Title: "TRADES, weight average", Method: "trades", Set: []string{"average.decay=0.995"}, Cost: 1, Paper: robustTraining,
			Source: "Gowal et al., arXiv 2010.03593; schedule of Pang et al., arXiv 2010.00467", Note: "The average is what is measured."},
	}
	for i := range list {
		list[i].Kind = Extra
	}
	return list
}

// lbgatSchedule has 0.02 in the first epoch, then 0.1 with drops at 76 and 91.
var lbgatSchedule = optim.Schedule{Kind: "step", Max: 0.1, Milestones: []int{1, 2, 76, 91}, Factors: []float64{0.2, 5, 0.1, 0.1}}
