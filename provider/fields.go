package provider

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/kinora/kinora"
)

// Fielder is a provider that can say what a caller may put into a request.
type Fielder interface {
	// Fields lists the fields of one of the upstream's models that a person would set, in the order of a form. It gives
	// candidates: which of them, of their values and of their bounds hold for the model, FieldsOf finds out by asking Validate.
	Fields(upstreamModel string, kind kinora.Kind) []kinora.Field
}

// How far FieldsOf looks.
const (
	mostCharacters = 65_536 // as the submit API has it
	mostImages     = 100    // likewise
	mostSeconds    = 600
)

// FieldsOf describes the fields of a model of p. Each candidate of a Fielder is tried on Validate: a value that is refused is left
// out, a bound that does not hold goes, and a field of which nothing is taken goes as a whole. So the description
// cannot say other than the check. It does no I/O. nil = p is no Fielder, or takes no request of the model at all.
func FieldsOf(p Provider, upstreamModel string, kind kinora.Kind) []kinora.Field {
	fielder, ok := p.(Fielder)
	if !ok {
		return nil
	}
	t := trial{p: p, base: Request{ClientRef: "ref_describe", Model: upstreamModel, UpstreamModel: upstreamModel, Kind: kind, Prompt: "a prompt"}}
	candidates := fielder.Fields(upstreamModel, kind)
	for _, f := range candidates {
		if f.Required {
			put(&t.base, f, Sample(f))
		}
	}
	if !t.begin() {
		return nil
	}
	var fields []kinora.Field
	for _, f := range candidates {
		if f, ok := t.refine(f); ok {
			fields = append(fields, f)
		}
	}
	return fields
}

// trial is a request that Validate takes, to which one field after the other is put.
type trial struct {
	p     Provider
	base  Request
	least int // images that there must be
}

// begin finds out how many images there must be.
func (t *trial) begin() bool {
	for ; t.least <= mostImages; t.least++ {
		t.base.Images = sampleImages(t.least)
		if t.p.Validate(t.base) == nil {
			return true
		}
	}
	return false
}

// takes tells whether a request with a value of a field is taken, and with what the field needs.
func (t *trial) takes(f kinora.Field, value any) bool {
	req := t.base
	req.Metadata = maps.Clone(t.base.Metadata)
	for name, needed := range f.Needs {
		other := kinora.Field{Name: name, Type: kinora.FieldText}
		switch {
		case name == imagesName:
			put(&req, kinora.Field{Name: name, Type: kinora.FieldImages}, sampleImages(max(1, t.least)))
		default:
			put(&req, other, needed)
		}
	}
	put(&req, f, value)
	return t.p.Validate(req) == nil
}

// refine is a field as far as it is taken.
func (t *trial) refine(f kinora.Field) (kinora.Field, bool) {
	switch {
	case f.Name == promptName:
		f.MaxLength = t.longest(f, mostCharacters)
		return f, true
	case f.Name == imagesName:
		return t.images(f)
	case f.Name == durationName:
		return t.seconds(f)
	case len(f.Values) > 0:
		return t.values(f)
	}
	switch f.Type {
	case kinora.FieldText, kinora.FieldLongText:
		if f.MaxLength > 0 && (t.takes(f, strings.Repeat("x", f.MaxLength+1)) || !t.takes(f, strings.Repeat("x", f.MaxLength))) {
			f.MaxLength = t.longest(f, mostCharacters)
		}
	case kinora.FieldInteger, kinora.FieldNumber:
		f.Minimum, f.Maximum = t.bound(f, f.Minimum, -1), t.bound(f, f.Maximum, 1)
	}
	return f, t.takes(f, Sample(f))
}

// values leaves out what is refused.
func (t *trial) values(f kinora.Field) (kinora.Field, bool) {
	all := f.Values
	f.Values = slices.DeleteFunc(slices.Clone(all), func(v string) bool { return !t.takes(f, v) })
	f.Open = slices.ContainsFunc(strange(f), func(v string) bool { return !slices.Contains(all, v) && t.takes(f, v) })
	if !slices.Contains(f.Values, f.Default) {
		f.Default = ""
	}
	chosen := len(f.Values) > 1 || len(f.Values) == len(all) || f.Open // where one is left there is nothing to choose
	return f, chosen && len(f.Values) > 0
}

// strange are values that fields do not name.
func strange(f kinora.Field) []string {
	switch f.Type {
	case kinora.FieldInteger, kinora.FieldNumber:
		return []string{"987654"}
	case kinora.FieldSize:
		return []string{"1280x720", "1024x1024", "1072x736"} // of whole blocks; of the last one's ratio nobody speaks
	}
	return []string{"no such value"}
}

// bound keeps a bound that holds: it is taken, and what lies a step beyond it is not.
func (t *trial) bound(f kinora.Field, bound *float64, step float64) *float64 {
	if bound == nil || !t.takes(f, number(*bound)) || t.takes(f, number(*bound+step)) {
		return nil
	}
	return bound
}

// longest is how many characters are taken; 0 = as many as anybody may send.
func (t *trial) longest(f kinora.Field, most int) int {
	if t.takes(f, strings.Repeat("x", most)) {
		return 0
	}
	least := 1 // is taken; most is not
	for most-least > 1 {
		if middle := (least + most) / 2; t.takes(f, strings.Repeat("x", middle)) {
			least = middle
		} else {
			most = middle
		}
	}
	return least
}

func (t *trial) images(f kinora.Field) (kinora.Field, bool) {
	f.MinItems, f.Required = t.least, t.least > 0
	n := t.least
	for n < mostImages && t.takes(f, sampleImages(n+1)) {
		n++
	}
	if n < mostImages {
		f.MaxItems = n
	}
	return f, n > 0
}

// seconds are a span, where all lengths between two are taken, or a few lengths.
func (t *trial) seconds(f kinora.Field) (kinora.Field, bool) {
	var taken []int
	for n := 1; n <= mostSeconds; n++ {
		if t.takes(f, strconv.Itoa(n)) {
			taken = append(taken, n)
		}
	}
	if len(taken) == 0 {
		return f, false
	}
	first, last := taken[0], taken[len(taken)-1]
	if last-first+1 == len(taken) && len(taken) > 1 {
		f.Minimum = bounded(first)
		if last < mostSeconds {
			f.Maximum = bounded(last)
		}
		return f, true
	}
	for _, n := range taken {
		f.Values = append(f.Values, strconv.Itoa(n))
	}
	return f, true
}

func bounded(n int) *float64 { v := float64(n); return &v }

func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

func sampleImages(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("https://images.example/%d.png", i+1)
	}
	return list
}

// Sample is a value that a field may have: a text, as Field writes values, or a list of texts.
func Sample(f kinora.Field) any {
	switch {
	case len(f.Values) > 0:
		return f.Values[0]
	case f.Type == kinora.FieldImages:
		return sampleImages(max(1, f.MinItems))
	case f.Type == kinora.FieldImage:
		return sampleImages(1)[0]
	case f.Type == kinora.FieldBoolean:
		return "true"
	case f.Type == kinora.FieldObject:
		return "{}"
	case f.Type == kinora.FieldSize:
		return "auto"
	case f.Minimum != nil:
		return number(*f.Minimum)
	case f.Maximum != nil:
		return number(math.Min(*f.Maximum, 1))
	case f.Type == kinora.FieldInteger, f.Type == kinora.FieldNumber:
		return "1"
	}
	return "text"
}

const (
	promptName   = "input.prompt"
	sizeName     = "input.size"
	imagesName   = "input.images"
	durationName = "input.duration"
	metaPrefix   = "input.metadata."
)

// put puts a value of a field into a request, as the submit API would: a text as Sample gives it, or a list.
func put(req *Request, f kinora.Field, value any) {
	text, _ := value.(string)
	switch f.Name {
	case promptName:
		req.Prompt = text
	case sizeName:
		req.Size = text
	case durationName:
		req.Duration, _ = strconv.Atoi(text)
	case imagesName:
		req.Images, _ = value.([]string)
	default:
		if req.Metadata == nil {
			req.Metadata = map[string]json.RawMessage{}
		}
		req.Metadata[strings.TrimPrefix(f.Name, metaPrefix)] = encoded(f, value)
	}
}

// encoded is a value as JSON has it.
func encoded(f kinora.Field, value any) json.RawMessage {
	text, isText := value.(string)
	switch f.Type {
	case kinora.FieldInteger, kinora.FieldNumber, kinora.FieldBoolean, kinora.FieldObject:
		if isText && json.Valid([]byte(text)) {
			return json.RawMessage(text)
		}
	}
	raw, err := json.Marshal(value)
	if err != nil {
		return json.RawMessage("null") // texts and lists of them always encode
	}
	return raw
}

// The candidates that most models have. FieldsOf finds their bounds.

// PromptField is the prompt, which every request has.
func PromptField() kinora.Field {
	return kinora.Field{Name: promptName, Type: kinora.FieldLongText, Label: "Prompt", Required: true}
}

// SizeField is the size, with values that are usual.
func SizeField(values ...string) kinora.Field {
	return kinora.Field{Name: sizeName, Type: kinora.FieldSize, Label: "Size", Help: "A ratio such as 16:9, pixels such as 1280x720, or auto.", Values: values}
}

// ImagesField are the images that a request brings; help says what they are for.
func ImagesField(help string) kinora.Field {
	return kinora.Field{Name: imagesName, Type: kinora.FieldImages, Label: "Images", Help: help}
}

// DurationField is the length of a video.
func DurationField() kinora.Field {
	return kinora.Field{Name: durationName, Type: kinora.FieldInteger, Label: "Duration", Help: "Seconds."}
}

// MetadataField is a field of input.metadata. Its label is made of its key.
func MetadataField(key string, kind kinora.FieldType, help string, values ...string) kinora.Field {
	words := strings.ToLower(strings.ReplaceAll(key, "_", " "))
	return kinora.Field{Name: metaPrefix + key, Type: kind, Label: strings.ToUpper(words[:1]) + words[1:], Help: help, Values: values}
}

// SpanField is a number of input.metadata between two bounds.
func SpanField(key string, kind kinora.FieldType, help string, least, most float64) kinora.Field {
	f := MetadataField(key, kind, help)
	f.Minimum, f.Maximum = &least, &most
	return f
}
