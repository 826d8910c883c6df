package kinora

import "time"

// Plan says of how many attempts a generation is made and what becomes of their outputs.
// The zero Plan is one attempt whose outputs are all published.
type Plan struct {
	// Parts is how many attempts a round has, side by side: the candidates of a workflow, or
	// the calls that it takes to make as many outputs as were asked for. 0 = 1.
	Parts int `json:"parts,omitempty"`
	// Rounds is how often, at most, a round in which nothing passed the gate is followed by
	// another. 0 = 1.
	Rounds int `json:"rounds,omitempty"`
	// Publish is how many outputs a caller gets at most, the best first. 0 = all, in order.
	Publish int `json:"publish,omitempty"`
	// Gate is what an output must pass to be published; nil = everything passes.
	Gate *Gate `json:"gate,omitempty"`
	// Review holds what has passed until a person approves or rejects it.
	Review bool `json:"review,omitempty"`
}

// Gate is a workflow's measure of an output. A zero limit is no limit.
type Gate struct {
	MinWidth  int `json:"min_width,omitempty"` // pixels
	MinHeight int `json:"min_height,omitempty"`
	// Aspect is the ratio of width to height that is wanted, whatever the source's; 0 = the
	// source's, where AspectTolerance asks for it.
	Aspect float64 `json:"aspect,omitempty"`
	// AspectTolerance is by how much the ratio of width to height may differ from the one that
	// is wanted, as a share of it: 0.02 = 2 %. 0 with an Aspect = 1 %.
	AspectTolerance float64 `json:"aspect_tolerance,omitempty"`
	// NotBlank refuses outputs that are blank or flat.
	NotBlank bool `json:"not_blank,omitempty"`
	// Changed refuses outputs that look like the source: at least as many must differ of the 64
	// bits of the perceptual hashes, or of the 64 mean colours of an 8×8 grid.
	Changed int `json:"changed,omitempty"`
	// Structure is how much of the source's edges must be found again at least, 0..1.
	Structure float64 `json:"structure,omitempty"`
	// Hook asks an operator's own checker; empty URL = none.
	Hook GateHook `json:"hook,omitzero"`
}

// GateHook is an operator's own checker, asked by a signed POST.
type GateHook struct {
	URL     string        `json:"url,omitempty"`
	Timeout time.Duration `json:"timeout,omitempty"` // 0 = 10 s
}

// Verdict is what the gate found about one output. Operators see it; callers do not.
type Verdict struct {
	Passed bool    `json:"passed"`
	Score  float64 `json:"score"` // 0..1; the best one that passed becomes the primary output
	Checks []Check `json:"checks,omitempty"`
}

// Check is one part of a verdict.
type Check struct {
	Name   string  `json:"name"`
	Passed bool    `json:"passed"`
	Value  float64 `json:"value"`           // what was measured
	Limit  float64 `json:"limit,omitempty"` // what was wanted
	Detail string  `json:"detail,omitempty"`
}
