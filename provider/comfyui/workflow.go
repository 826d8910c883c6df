package comfyui

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Workflow is an operator's graph in ComfyUI's API format, with places for what a generation
// brings: a text "{{prompt}}" anywhere among the inputs of its nodes.
//
// A place is {{NAME}}, {{NAME*FACTOR+TERM}} for a number to reckon with, and has a default
// behind a bar, {{NAME|DEFAULT}}. A text that is nothing but one place becomes a value of the
// place's own type; within a longer text a place becomes text. Names are prompt, width, height,
// seed, duration, n, image and image2 to image16, and metadata.KEY for any key of the caller's
// metadata.
type Workflow struct {
	nodes  map[string]node
	places map[string]*place // by name; of a name that stands in several places, the union
	images int               // how many images it has places for
}

// node is one of the graph. What is not looked at goes through as it is.
type node struct {
	Class  string
	inputs map[string]any
	rest   map[string]json.RawMessage
}

// place is where something of a generation goes.
type place struct {
	name         string
	fallback     any // the default; nil = none
	required     bool
	factor, term float64
	inputs       [][2]string // node and input
}

var (
	placed = regexp.MustCompile(`\{\{\s*([a-z][A-Za-z0-9_.]*)\s*(?:\*\s*([0-9]+(?:\.[0-9]+)?)\s*)?(?:\+\s*([0-9]+(?:\.[0-9]+)?)\s*)?(?:\|([^{}]*))?\}\}`)
	brace  = regexp.MustCompile(`\{\{|\}\}`)
)

// maxImages is how many images a workflow may take.
const maxImages = 16

// numbers are the names whose values are numbers.
var numbers = []string{"width", "height", "seed", "duration", "n"}

// ParseWorkflow reads a workflow as ComfyUI exports it ("Export (API)"), with places put in.
// Its error says what is wrong and where, for the operator.
func ParseWorkflow(text []byte) (*Workflow, error) {
	var graph map[string]json.RawMessage
	if err := json.Unmarshal(text, &graph); err != nil {
		return nil, fmt.Errorf("it is no JSON object: %w", err)
	}
	if _, ok := graph["nodes"]; ok {
		return nil, errors.New(`it is a workflow as the editor saves it; export it in API format ("Export (API)")`)
	}
	w := &Workflow{nodes: map[string]node{}, places: map[string]*place{}}
	for _, id := range slices.Sorted(maps.Keys(graph)) {
		n, err := parseNode(graph[id])
		if err != nil {
			return nil, fmt.Errorf("node %s: %w", id, err)
		}
		for _, input := range slices.Sorted(maps.Keys(n.inputs)) {
			if err := w.find(n.inputs[input], [2]string{id, input}); err != nil {
				return nil, fmt.Errorf("node %s, input %s: %w", id, input, err)
			}
		}
		w.nodes[id] = n
	}
	if len(w.nodes) == 0 {
		return nil, errors.New("it has no nodes")
	}
	for i := 1; i <= w.images; i++ {
		if w.places[imageName(i)] == nil {
			return nil, fmt.Errorf("there is a place for %s and none for %s", imageName(w.images), imageName(i))
		}
	}
	return w, nil
}

func parseNode(raw json.RawMessage) (node, error) {
	var n node
	if err := json.Unmarshal(raw, &n.rest); err != nil {
		return n, errors.New("it is no object")
	}
	if err := json.Unmarshal(n.rest["class_type"], &n.Class); err != nil || n.Class == "" {
		return n, errors.New(`it has no class_type: is this a workflow in API format?`)
	}
	dec := json.NewDecoder(bytes.NewReader(n.rest["inputs"]))
	dec.UseNumber() // a seed has more digits than a float64
	if err := dec.Decode(&n.inputs); err != nil || n.inputs == nil {
		return n, errors.New("its inputs are no object")
	}
	return n, nil
}

func imageName(i int) string {
	if i == 1 {
		return "image"
	}
	return "image" + strconv.Itoa(i)
}

// find notes the places within a value.
func (w *Workflow) find(value any, at [2]string) error {
	switch v := value.(type) {
	case string:
		return w.findInText(v, at)
	case []any:
		for _, e := range v {
			if err := w.find(e, at); err != nil {
				return err
			}
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if err := w.find(v[key], at); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *Workflow) findInText(text string, at [2]string) error {
	found := placed.FindAllStringSubmatch(text, -1)
	if len(brace.FindAllString(text, -1)) != 2*len(found) {
		return fmt.Errorf("%q has a place that cannot be read; one looks like {{prompt}}, {{width|1024}} or {{duration*16+1|81}}", text)
	}
	for _, m := range found {
		p, err := readPlace(m)
		if err != nil {
			return err
		}
		known := w.places[p.name]
		if known == nil {
			known = p
			w.places[p.name] = p
		} else if known.fallback == nil {
			known.fallback = p.fallback
		}
		known.required = known.required || p.fallback == nil
		known.inputs = append(known.inputs, at)
		if i := imageNumber(p.name); i > 0 {
			w.images = max(w.images, i)
		}
	}
	return nil
}

// imageNumber is the number of an image's place; 0 = it is another one.
func imageNumber(name string) int {
	for i := 1; i <= maxImages; i++ {
		if name == imageName(i) {
			return i
		}
	}
	return 0
}

func readPlace(m []string) (*place, error) {
	p := &place{name: m[1], factor: 1}
	key, metadata := strings.CutPrefix(p.name, "metadata.")
	isNumber := slices.Contains(numbers, p.name)
	switch {
	case metadata && key != "", isNumber, p.name == "prompt", imageNumber(p.name) > 0:
	default:
		return nil, fmt.Errorf("there is nothing called %q to put in; there are prompt, %s, image to %s, and metadata.KEY",
			p.name, strings.Join(numbers, ", "), imageName(maxImages))
	}
	if m[2] != "" || m[3] != "" {
		if !isNumber && !metadata {
			return nil, fmt.Errorf("%s is no number to reckon with", p.name)
		}
		p.factor, p.term = float(m[2], 1), float(m[3], 0)
	}
	if !strings.Contains(m[0], "|") {
		p.required = true
		return p, nil
	}
	text := strings.TrimSpace(m[4])
	p.fallback = text
	var value any
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	if dec.Decode(&value) == nil && !dec.More() && value != nil {
		p.fallback = value
	}
	if _, ok := p.fallback.(json.Number); isNumber && !ok {
		return nil, fmt.Errorf("the default of %s must be a number", p.name)
	}
	return p, nil
}

func float(text string, otherwise float64) float64 {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return otherwise
	}
	return f
}

// fill returns the graph with every place taken by its value. A name without a value takes
// its default as it stands.
func (w *Workflow) fill(values map[string]any) (json.RawMessage, error) {
	graph := make(map[string]any, len(w.nodes))
	for id, n := range w.nodes {
		inputs := make(map[string]any, len(n.inputs))
		for name, value := range n.inputs {
			inputs[name] = put(value, values)
		}
		out := make(map[string]any, len(n.rest))
		for key, value := range n.rest {
			out[key] = value
		}
		out["inputs"] = inputs
		graph[id] = out
	}
	return json.Marshal(graph)
}

func put(value any, values map[string]any) any {
	switch v := value.(type) {
	case string:
		return putInText(v, values)
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = put(e, values)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, e := range v {
			out[key] = put(e, values)
		}
		return out
	}
	return value
}

func putInText(text string, values map[string]any) any {
	if m := placed.FindStringSubmatch(text); m != nil && m[0] == strings.TrimSpace(text) {
		return valueOf(m, values)
	}
	return placed.ReplaceAllStringFunc(text, func(found string) string {
		switch v := valueOf(placed.FindStringSubmatch(found), values).(type) {
		case string:
			return v
		default:
			b, _ := json.Marshal(v) // numbers, booleans and what JSON itself made
			return string(b)
		}
	})
}

// valueOf is what goes to a place: what is asked for there, reckoned with, or its default.
func valueOf(m []string, values map[string]any) any {
	p, err := readPlace(m)
	if err != nil {
		return "" // ParseWorkflow refuses such a place
	}
	value, ok := values[p.name]
	if !ok {
		return p.fallback
	}
	if p.factor == 1 && p.term == 0 {
		return value
	}
	n, ok := numberOf(value)
	if !ok {
		return value
	}
	n = n*p.factor + p.term
	if n == math.Trunc(n) {
		return int64(n)
	}
	return n
}

func numberOf(value any) (float64, bool) {
	switch v := value.(type) {
	case int:
		return float64(v), true
	case json.Number:
		f, err := v.Float64()
		return f, err == nil
	}
	return 0, false
}
