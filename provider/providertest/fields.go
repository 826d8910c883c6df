package providertest

import (
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"testing"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
)

// testFields holds what a provider says of its models' fields against its own check: what is described is taken, and what lies
// just beyond each limit is refused.
func (s *Suite) testFields(t *testing.T) {
	models := append([]kinora.Model{{Name: s.Request.Model, UpstreamModel: s.Request.UpstreamModel, Kind: s.Request.Kind}}, s.Provider.Describe().Models...)
	for _, m := range models {
		if m.UpstreamModel == "" {
			m.UpstreamModel = m.Name
		}
		CheckFields(t, s.Provider, m.UpstreamModel, m.Kind)
	}
}

// CheckFields is the part of the suite about the fields of one model.
func CheckFields(t *testing.T, p provider.Provider, upstreamModel string, kind kinora.Kind) {
	t.Helper()
	fields := provider.FieldsOf(p, upstreamModel, kind)
	f := form{p: p, fields: map[string]kinora.Field{}, base: provider.Request{ClientRef: "ref_1", Model: upstreamModel, UpstreamModel: upstreamModel, Kind: kind, Prompt: "a prompt"}}
	for _, one := range fields {
		if one.Name == "" || one.Type == "" || one.Label == "" || f.fields[one.Name].Name != "" {
			t.Errorf("%s: the field %+v must have a name of its own, a type and a label", upstreamModel, one)
		}
		f.fields[one.Name] = one
		if one.Required {
			fill(&f.base, one, provider.Sample(one))
		}
	}
	if f.fields["input.prompt"].Name == "" {
		t.Errorf("%s: no prompt is described", upstreamModel)
		return
	}
	if err := p.Validate(f.base); err != nil {
		t.Errorf("%s: the required fields alone are refused: %v", upstreamModel, err)
		return
	}
	for _, one := range fields {
		inside, outside := edges(one)
		for _, value := range inside {
			if err := f.try(one, value); err != nil {
				t.Errorf("%s: %s is described with %.40q, which is refused: %v", upstreamModel, one.Name, fmt.Sprint(value), err)
			}
		}
		for _, value := range outside {
			if f.try(one, value) == nil {
				t.Errorf("%s: %s takes %.40q, which its description excludes", upstreamModel, one.Name, fmt.Sprint(value))
			}
		}
	}
}

type form struct {
	p      provider.Provider
	fields map[string]kinora.Field
	base   provider.Request
}

// try validates a request with a value, and with what its field needs.
func (f *form) try(one kinora.Field, value any) error {
	req := f.base
	req.Metadata = maps.Clone(f.base.Metadata)
	for name, needed := range one.Needs {
		var with any = needed
		if needed == "" {
			with = provider.Sample(f.fields[name])
		}
		fill(&req, f.fields[name], with)
	}
	fill(&req, one, value)
	return f.p.Validate(req)
}

// edges are values that a description takes and, just beyond it, values that it does not.
func edges(f kinora.Field) (inside, outside []any) {
	text := func(n int) string { return strings.Repeat("ä", n) }
	number := func(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
	for _, v := range f.Values {
		inside = append(inside, v)
	}
	if len(f.Values) > 0 {
		if !f.Open {
			outside = append(outside, map[bool]string{true: "987654", false: "no such value"}[f.Type == kinora.FieldInteger])
		}
		return inside, outside
	}
	switch f.Type {
	case kinora.FieldImages:
		inside = append(inside, images(max(1, f.MinItems)))
		if f.MinItems > 0 {
			outside = append(outside, images(f.MinItems-1))
		}
		if f.MaxItems > 0 {
			inside, outside = append(inside, images(f.MaxItems)), append(outside, images(f.MaxItems+1))
		}
	case kinora.FieldBoolean:
		inside = append(inside, "true", "false")
	default:
		inside = append(inside, provider.Sample(f))
	}
	if f.MaxLength > 0 {
		inside, outside = append(inside, text(f.MaxLength)), append(outside, text(f.MaxLength+1))
	}
	if f.Minimum != nil && (f.Name != "input.duration" || *f.Minimum > 1) { // a duration of 0 is none
		inside, outside = append(inside, number(*f.Minimum)), append(outside, number(*f.Minimum-1))
	}
	if f.Maximum != nil {
		inside, outside = append(inside, number(*f.Maximum)), append(outside, number(*f.Maximum+1))
	}
	return inside, outside
}

func images(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("https://pictures.example/%d.jpg", i)
	}
	return list
}

// fill puts a value into a request as the submit API reads it.
func fill(req *provider.Request, f kinora.Field, value any) {
	text, _ := value.(string)
	switch f.Name {
	case "input.prompt":
		req.Prompt = text
	case "input.size":
		req.Size = text
	case "input.duration":
		req.Duration, _ = strconv.Atoi(text)
	case "input.images":
		req.Images, _ = value.([]string)
	default:
		raw, _ := json.Marshal(value) // texts and lists of them always encode
		switch f.Type {
		case kinora.FieldInteger, kinora.FieldNumber, kinora.FieldBoolean, kinora.FieldObject:
			raw = []byte(text)
		}
		if req.Metadata == nil {
			req.Metadata = map[string]json.RawMessage{}
		}
		req.Metadata[strings.TrimPrefix(f.Name, "input.metadata.")] = raw
	}
}
