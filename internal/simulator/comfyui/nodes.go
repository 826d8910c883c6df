package comfyui

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// node is one of a prompt's graph.
type node struct {
	Class  string         `json:"class_type"`
	Inputs map[string]any `json:"inputs"`
}

// kind is what an input takes: a link to another node, or a value.
type kind struct {
	link     bool
	text     bool
	min, max float64
	among    func(s *Simulator) []string // the values there are; nil = any
	missing  string                      // the error's type when it is none of those
	optional bool
}

var (
	link   = kind{link: true}
	text   = kind{text: true}
	side   = kind{min: 16, max: 16384}
	number = kind{min: -1 << 60, max: 1 << 62}
)

// class is a class of nodes.
type class struct {
	inputs map[string]kind
	makes  string // what it leaves in the outputs; empty = nothing
	temp   bool   // as a preview
}

func classes() map[string]class {
	checkpoints := kind{text: true, among: func(s *Simulator) []string { return s.cfg.Checkpoints }, missing: "value_not_in_list"}
	uploaded := kind{text: true, among: func(s *Simulator) []string { return slices.Collect(maps.Keys(s.uploads)) }, missing: "custom_validation_failed"}
	named := func(k kind, names ...string) map[string]kind {
		out := map[string]kind{}
		for _, n := range names {
			out[n] = k
		}
		return out
	}
	sampler := named(number, "seed", "steps", "cfg", "denoise")
	maps.Copy(sampler, named(link, "model", "positive", "negative", "latent_image"))
	return map[string]class{
		"CheckpointLoaderSimple": {inputs: map[string]kind{"ckpt_name": checkpoints}},
		"CLIPTextEncode":         {inputs: map[string]kind{"text": text, "clip": link}},
		"EmptyLatentImage":       {inputs: map[string]kind{"width": side, "height": side, "batch_size": {min: 1, max: 4096}}},
		"EmptyHunyuanLatentVideo": {inputs: map[string]kind{
			"width": side, "height": side, "length": {min: 1, max: 16384}, "batch_size": {min: 1, max: 4096},
		}},
		"LoadImage":    {inputs: map[string]kind{"image": uploaded}},
		"VAEEncode":    {inputs: named(link, "pixels", "vae")},
		"KSampler":     {inputs: sampler},
		"VAEDecode":    {inputs: named(link, "samples", "vae")},
		"CreateVideo":  {inputs: map[string]kind{"images": link, "fps": {min: 1, max: 120}}},
		"SaveImage":    {inputs: map[string]kind{"images": link, "filename_prefix": text}, makes: "images"},
		"PreviewImage": {inputs: map[string]kind{"images": link}, makes: "images", temp: true},
		"SaveVideo":    {inputs: map[string]kind{"video": link, "filename_prefix": text}, makes: "video"},
	}
}

// fault is one of a node's errors.
type fault struct {
	Type    string         `json:"type"`
	Message string         `json:"message"`
	Details string         `json:"details"`
	Extra   map[string]any `json:"extra_info"`
}

type nodeFaults struct {
	Errors    []fault  `json:"errors"`
	Dependent []string `json:"dependent_outputs"`
	Class     string   `json:"class_type"`
}

// problem is the answer to a prompt that is not taken.
type problem struct {
	Error fault                 `json:"error"`
	Nodes map[string]nodeFaults `json:"node_errors"`
}

func refused(typ, message, details string) *problem {
	return &problem{Error: fault{Type: typ, Message: message, Details: details, Extra: map[string]any{}}, Nodes: map[string]nodeFaults{}}
}

// validate is what the server says of a graph before it runs it; nil = nothing.
func (s *Simulator) validate(graph map[string]node) *problem {
	known := classes()
	outputs := 0
	for _, id := range slices.Sorted(maps.Keys(graph)) {
		c, ok := known[graph[id].Class]
		if !ok {
			return refused("missing_node_type", fmt.Sprintf("Node '%s' not found. The custom node may not be installed.", graph[id].Class), "Node ID '#"+id+"'")
		}
		if c.makes != "" {
			outputs++
		}
	}
	if outputs == 0 {
		return refused("prompt_no_outputs", "Prompt has no outputs", "")
	}
	p := refused("prompt_outputs_failed_validation", "Prompt outputs failed validation", "")
	for id, n := range graph {
		inputs := known[n.Class].inputs
		for _, name := range slices.Sorted(maps.Keys(inputs)) {
			typ, message := s.judge(graph, inputs[name], n.Inputs[name])
			if typ == "" {
				continue
			}
			f := p.Nodes[id]
			f.Class, f.Dependent = n.Class, []string{}
			f.Errors = append(f.Errors, fault{typ, message, name, map[string]any{"input_name": name, "received_value": n.Inputs[name]}})
			p.Nodes[id] = f
		}
	}
	if len(p.Nodes) == 0 {
		return nil
	}
	return p
}

// judge is what is wrong with an input; empty = nothing.
func (s *Simulator) judge(graph map[string]node, k kind, value any) (typ, message string) {
	if value == nil {
		return "required_input_missing", "Required input is missing"
	}
	if k.link {
		pair, ok := value.([]any)
		if !ok || len(pair) != 2 {
			return "bad_linked_input", "Bad linked input, must be a length-2 list of [node_id, slot_index]"
		}
		if from, ok := pair[0].(string); !ok || graph[from].Class == "" {
			return "exception_during_validation", "Exception when validating node"
		}
		return "", ""
	}
	if k.text {
		v, ok := value.(string)
		switch {
		case !ok:
			return "invalid_input_type", "Failed to convert an input value to a STRING value"
		case k.among != nil && !slices.Contains(k.among(s), v):
			return k.missing, "Value not in list"
		}
		return "", ""
	}
	v, ok := value.(json.Number)
	if !ok {
		return "invalid_input_type", "Failed to convert an input value to a INT value"
	}
	n, err := v.Float64()
	switch {
	case err != nil:
		return "invalid_input_type", "Failed to convert an input value to a INT value"
	case n < k.min:
		return "value_smaller_than_min", "Value smaller than min"
	case n > k.max:
		return "value_bigger_than_max", "Value bigger than max"
	}
	return "", ""
}
