package cureml

import "cure/cureml/nn"

// PartnerConfig is the network that ACT and LBGAT train on natural images beside the student. The zero value is one of the
// student's architecture, with other random weights.
type PartnerConfig struct {
	Arch string `json:"arch,omitempty"` // as [nn.Parse] takes it
	// Width is the base width; 0 is the student's where Arch is empty, else the published one.
	Width int `json:"width,omitempty"`
}

// NaturalPartner is the role of that network, and its name in a run folder.
const NaturalPartner = "natural"

// network is the partner of a student; what is wrong with it, arch says.
func (p PartnerConfig) network(student nn.Arch) Network {
	a, _ := p.arch(student)
	return Network{Role: NaturalPartner, Kind: Partner, Arch: a}
}

// arch has the student's classes and normalisation.
func (p PartnerConfig) arch(student nn.Arch) (a nn.Arch, err error) {
	if p.Arch != "" {
		a, err = nn.Parse(p.Arch, p.Width, student.Classes)
		a.Mean, a.Std = student.Mean, student.Std
		return a, err
	}
	a = student
	if p.Width != 0 {
		a.Width = p.Width
	}
	return a, a.Validate()
}
