package workflow

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/kinora/kinora"
)

var workflowName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)

// parseFile reads one file, which file names it in problems. A workflow comes back only when there are none.
func parseFile(file string, text []byte) (*Workflow, []Problem) {
	s := &sheet{file: file, lines: strings.Split(string(text), "\n"), inherited: map[*yaml.Node]bool{}}
	root := s.document(text)
	if root == nil {
		return nil, s.sorted()
	}
	root = s.extend(root)
	w := s.workflow(root)
	w.File, w.text = file, text
	if len(s.found) > 0 {
		return nil, s.sorted()
	}
	return w, nil
}

var yamlLine = regexp.MustCompile(`^yaml: line (\d+): (?s)(.*)$`)

// document reads the one YAML document of a file.
func (s *sheet) document(text []byte) *yaml.Node {
	if len(text) > MaxFile {
		s.found = append(s.found, Problem{File: s.file, Message: "the file is larger than " + strconv.Itoa(MaxFile) + " bytes"})
		return nil
	}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var doc, more yaml.Node
	err := dec.Decode(&doc)
	if errors.Is(err, io.EOF) || err == nil && (len(doc.Content) == 0 || doc.Content[0].Tag == "!!null") {
		s.found = append(s.found, Problem{File: s.file, Message: "the file is empty", Hint: "begin from one that works: kinora workflow show staging --yaml"})
		return nil
	}
	if err == nil {
		if err = dec.Decode(&more); err == nil {
			s.at(&more, "write one file for each workflow", "the file holds more than one YAML document")
			return nil
		}
		if errors.Is(err, io.EOF) {
			err = nil
		}
	}
	if err != nil {
		p := Problem{File: s.file, Message: strings.TrimPrefix(err.Error(), "yaml: ")}
		if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
			p.Line, _ = strconv.Atoi(m[1])
			p.Message = m[2]
		}
		p.Message = "this is not YAML: " + p.Message
		s.found = append(s.found, p)
		return nil
	}
	before := len(s.found)
	s.plain(doc.Content[0])
	if len(s.found) > before {
		return nil
	}
	return doc.Content[0]
}

// plain refuses what makes one text stand for another: a reader of the file sees all that it says.
func (s *sheet) plain(n *yaml.Node) {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		s.at(n, "write it out", "anchors and aliases are not allowed")
		return
	}
	for _, c := range n.Content {
		s.plain(c)
	}
}

// extend lays the file over the built-in workflow that it names, if it names one: each key of the file replaces the same
// key of that, and within fields and gate each entry's keys do.
func (s *sheet) extend(root *yaml.Node) *yaml.Node {
	name := valueOf(root, "extends")
	if name == nil || root.Kind != yaml.MappingNode {
		return root
	}
	s.extends = name
	text, err := builtinText(name.Value)
	if err != nil {
		s.at(name, didYouMean(name.Value, builtinNames()), "extends must name a built-in workflow: %s", oneOf(builtinNames()))
		return root
	}
	var base yaml.Node
	if err := yaml.Unmarshal(text, &base); err != nil { // tests read every one
		s.at(name, "", "the built-in workflow cannot be read: %v", err)
		return root
	}
	s.inherit(&base)
	return overlay(base.Content[0], root, 0)
}

func (s *sheet) inherit(n *yaml.Node) {
	s.inherited[n] = true
	for _, c := range n.Content {
		s.inherit(c)
	}
}

// merged are the keys whose values are laid over each other instead of being replaced, and how deep.
var merged = map[string]int{"fields": 2, "gate": 1}

// overlay returns base with what over says; depth is how many levels below are merged as well.
func overlay(base, over *yaml.Node, depth int) *yaml.Node {
	if base.Kind != yaml.MappingNode || over.Kind != yaml.MappingNode {
		return over
	}
	out := *over
	out.Content = slices.Clone(over.Content)
	for i := 0; i+1 < len(base.Content); i += 2 {
		key, value := base.Content[i], base.Content[i+1]
		j := indexOf(&out, key.Value)
		if j < 0 {
			out.Content = append(out.Content, key, value)
			continue
		}
		deeper := depth - 1
		if depth == 0 {
			deeper = merged[key.Value]
		}
		if deeper > 0 {
			out.Content[j] = overlay(value, out.Content[j], deeper)
		}
	}
	return &out
}

// indexOf is where the value of a mapping's key is; -1 = nowhere.
func indexOf(n *yaml.Node, key string) int {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Kind == yaml.MappingNode && n.Content[i].Value == key {
			return i + 1
		}
	}
	return -1
}

func valueOf(n *yaml.Node, key string) *yaml.Node {
	if i := indexOf(n, key); i >= 0 {
		return n.Content[i]
	}
	return nil
}

// workflow reads the root of a file.
func (s *sheet) workflow(n *yaml.Node) *Workflow {
	w := &Workflow{Kind: kinora.KindImage, Candidates: 1, Rounds: 1, Publish: 1}
	var matrix, fields, prompt, gate *yaml.Node
	var size Size
	maxSide := 0
	later := func(to **yaml.Node) func(*yaml.Node) { return func(n *yaml.Node) { *to = n } }
	s.mapping(n, "a workflow", keys{
		"name": func(n *yaml.Node) {
			w.Name = s.text(n, "name")
			if w.Name != "" && !workflowName.MatchString(w.Name) {
				s.at(n, "such as product-on-white", "name must be lower-case letters, digits, dashes and underscores, at most 64")
			}
		},
		"extends":     func(*yaml.Node) {}, // done
		"description": func(n *yaml.Node) { w.Description = strings.TrimSpace(s.text(n, "description")) },
		"model":       func(n *yaml.Node) { w.Model = s.text(n, "model") },
		"kind": func(n *yaml.Node) {
			w.Kind = kinora.Kind(s.text(n, "kind"))
			if w.Kind != kinora.KindImage && w.Kind != kinora.KindVideo {
				s.at(n, "", "kind must be image or video")
			}
		},
		"fields": later(&fields), "matrix": later(&matrix), "prompt": later(&prompt), "gate": later(&gate),
		"size":           func(n *yaml.Node) { size = s.size(n) },
		"max_side":       func(n *yaml.Node) { maxSide = s.whole(n, "max_side", 64, maxSize) },
		"duration":       func(n *yaml.Node) { w.Duration = s.whole(n, "duration", 1, 600) },
		"images":         func(n *yaml.Node) { w.Images = s.images(n) },
		"metadata":       func(n *yaml.Node) { w.Metadata = s.metadata(n) },
		"candidates":     func(n *yaml.Node) { w.Candidates = s.whole(n, "candidates", 1, MaxCandidates) },
		"rounds":         func(n *yaml.Node) { w.Rounds = s.whole(n, "rounds", 1, MaxRounds) },
		"publish":        func(n *yaml.Node) { w.Publish = s.whole(n, "publish", 1, MaxPublish) },
		"review":         func(n *yaml.Node) { w.Review = s.boolean(n, "review") },
		"cache_approved": func(n *yaml.Node) { w.CacheApproved = s.boolean(n, "cache_approved") },
		"price_usd":      func(n *yaml.Node) { w.Price = s.price(n) },
	})
	if n.Kind != yaml.MappingNode {
		return w
	}
	for _, key := range []string{"name", "model"} {
		if valueOf(n, key) == nil {
			s.at(n, "", "the key %q is missing", key)
		}
	}
	if fields != nil {
		w.Fields = s.fields(fields)
	}
	if size.Source && size.MaxSide == 0 {
		size.MaxSide = defaultMaxSide
	}
	if maxSide > 0 {
		if !size.Source {
			s.at(valueOf(n, "max_side"), "", "max_side goes with size: source")
		}
		size.MaxSide = maxSide
	}
	base := Row{Size: size}
	if gate != nil {
		base.Gate = s.gate(gate, kinora.Gate{})
	}
	if prompt != nil {
		base.prompt = s.prompt(prompt, w.promptNames())
	}
	w.Rows = s.matrix(matrix, w, base)
	s.together(n, w)
	for _, r := range w.Rows {
		if r.prompt == nil && prompt == nil && len(s.found) == 0 {
			s.at(n, "", "the key %q is missing", "prompt")
			break
		}
	}
	if len(s.found) == 0 {
		s.rehearse(n, prompt, w)
	}
	return w
}

// defaultMaxSide is how large an image is asked for at most where the size is the source's.
const defaultMaxSide = 2048

// together checks what several keys say together.
func (s *sheet) together(n *yaml.Node, w *Workflow) {
	at := func(key string) *yaml.Node {
		if v := valueOf(n, key); v != nil {
			return v
		}
		return n
	}
	gated := slices.ContainsFunc(w.Rows, func(r Row) bool { return r.Gate != nil })
	if w.Publish > w.Candidates && w.Candidates > 0 {
		s.at(at("publish"), "", "publish is %d and only %d candidates are made", w.Publish, w.Candidates)
	}
	if w.Rounds > 1 && !gated && !w.Review {
		s.at(at("rounds"), "add a gate, or leave rounds out", "rounds above 1 need a gate or a review: without one the first round always passes")
	}
	if w.Kind == kinora.KindVideo {
		for _, r := range w.Rows {
			if r.Gate != nil && (r.Gate.AspectTolerance > 0 || r.Gate.NotBlank || r.Gate.Changed > 0 || r.Gate.Structure > 0) {
				s.at(at("gate"), "", "a video's gate has min_width, min_height, aspect and hook only")
				break
			}
		}
	}
	if w.Duration > 0 && w.Kind != kinora.KindVideo {
		s.at(at("duration"), "", "duration goes with kind: video")
	}
}

// rehearse renders every row's prompt, with everything sent and with the least.
func (s *sheet) rehearse(root, prompt *yaml.Node, w *Workflow) {
	at := prompt
	if at == nil {
		at = root
	}
	for i := range w.Rows {
		r := &w.Rows[i]
		if r.prompt == nil {
			s.at(at, "", "the row %s of the matrix has no prompt", r.name())
			continue
		}
		for _, full := range []bool{false, true} {
			text, err := render(r.prompt, w.sample(r, full))
			switch {
			case errors.Is(err, errPromptLength):
				// Samples are short: a prompt this long is the template's own fault.
				s.at(at, "", "%v for %s", err, r.name())
			case err != nil:
				s.inPrompt(at, err)
			case text == "":
				s.at(at, "", "the prompt is empty for %s", r.name())
			}
			if len(s.found) > 0 {
				return
			}
		}
	}
}

var (
	pixels = regexp.MustCompile(`^([1-9]\d{1,3})x([1-9]\d{1,3})$`)
	ratio  = regexp.MustCompile(`^([1-9]\d{0,3}):([1-9]\d{0,3})$`)
)

// shape is the ratio of width to height of "WxH" or "W:H"; 0 = neither.
func shape(text string) float64 {
	for _, form := range []*regexp.Regexp{pixels, ratio} {
		if m := form.FindStringSubmatch(text); m != nil {
			w, _ := strconv.ParseFloat(m[1], 64)
			h, _ := strconv.ParseFloat(m[2], 64)
			return w / h
		}
	}
	return 0
}

func (s *sheet) size(n *yaml.Node) (out Size) {
	if n.Kind == yaml.SequenceNode {
		out.Nearest = s.texts(n, "size", 32)
		for _, entry := range n.Content {
			if shape(entry.Value) == 0 {
				s.at(entry, "", "an entry of size must be WxH in pixels or a ratio W:H")
			}
		}
		return out
	}
	text := s.text(n, "size")
	switch {
	case text == "source":
		out.Source = true
	case text == "auto" || shape(text) > 0:
		out.Fixed = text
	case text != "":
		s.at(n, "", "size must be source, auto, WxH in pixels, a ratio W:H, or a list of such sizes")
	}
	return out
}

func (s *sheet) images(n *yaml.Node) []string {
	out := s.texts(n, "images", maxImages)
	for _, entry := range n.Content {
		if n.Kind == yaml.SequenceNode && !webURL(entry.Value) {
			s.at(entry, "", "an entry of images must be an http or https URL without a user name")
		}
	}
	return out
}

// metadata turns the YAML into the JSON that the model gets.
func (s *sheet) metadata(n *yaml.Node) map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	s.entries(n, "metadata", func(key, value *yaml.Node) {
		if key.Value == "callback_url" {
			s.at(key, "", "metadata cannot hold callback_url")
			return
		}
		var v any
		if err := value.Decode(&v); err != nil {
			s.at(value, "", "metadata.%s cannot be read", key.Value)
			return
		}
		raw, err := json.Marshal(v)
		if err != nil { // a map with keys that are no texts
			s.at(value, "", "metadata.%s has no form in JSON", key.Value)
			return
		}
		out[key.Value] = raw
	})
	return out
}

// price reads dollars.
func (s *sheet) price(n *yaml.Node) *kinora.Money {
	price, err := kinora.ParseMoney(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil {
		s.at(n, "such as 0.05", "price_usd must be an amount of US dollars with at most six decimals")
		return nil
	}
	return &price
}

func finite(v float64) bool { return !math.IsInf(v, 0) && !math.IsNaN(v) }
