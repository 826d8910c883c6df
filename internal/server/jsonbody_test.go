package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/kinora/kinora"
)

// plain turns a value into what encoding/json makes of it with UseNumber.
func plain(v value) any {
	switch v.kind() {
	case jsonObject:
		m := map[string]any{}
		for key, val := range v.members() {
			m[key.text()] = plain(val)
		}
		return m
	case jsonArray:
		list := []any{}
		for item := range v.items() {
			list = append(list, plain(item))
		}
		return list
	case jsonString:
		if v.text() != string(v.bytes()) {
			panic("text and bytes differ")
		}
		return v.text()
	case jsonNumber:
		return v.number()
	case jsonBool:
		return string(v.raw()) == "true"
	}
	return nil
}

func standard(body []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var v any
	err := dec.Decode(&v)
	return v, err
}

// parsesAlike says that what parseJSON accepts means what encoding/json says it means.
func parsesAlike(body []byte) error {
	d, err := parseJSON(body)
	if err != nil {
		if code := kinora.CodeOf(err); code != errMalformed {
			return fmt.Errorf("refused with code %s", code)
		}
		return nil
	}
	want, err := standard(body)
	if err != nil {
		return fmt.Errorf("accepted, but encoding/json says %w", err)
	}
	if got := plain(d.root()); !reflect.DeepEqual(want, got) { // cmp.Diff takes exponential time in the depth
		return fmt.Errorf("read as %v, by encoding/json as %v", got, want)
	}
	raw := d.root().raw()
	if !bytes.Equal(raw, bytes.Trim(body, " \t\r\n")) {
		return fmt.Errorf("raw is %q", raw)
	}
	// What the core keeps must survive being stored and read again.
	if _, err := json.Marshal(raw); err != nil {
		return fmt.Errorf("raw cannot be encoded: %w", err)
	}
	again, err := parseJSON(raw)
	if err != nil || again.hash() != d.hash() {
		return fmt.Errorf("the trimmed text has another hash, %w", err)
	}
	return nil
}

func TestParseJSONReadsAsEncodingJSONDoes(t *testing.T) {
	for _, body := range []string{
		`0`, ` -0.0e+10 `, `true`, `false`, `null`, `""`, `"\"\\\/\b\f\n\r\t"`, `"\ud83d\ude00\u00e9\uFFFD"`, `[]`, `[ ]`, `{}`, `{ }`,
		`[1,[2,[3]],{"a":[]},"x"]`, `{"":{"":""}}`, `{"a" : 1 , "b"	:
		[ true , null ] }`, "\"\u2028\u007f\"", `{"a":"}","b":"]","c":"\\\"","d":",:"}`,
	} {
		if _, err := parseJSON([]byte(body)); err != nil {
			t.Errorf("%s: %v", body, err)
		}
		if err := parsesAlike([]byte(body)); err != nil {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestParseJSONBounds(t *testing.T) {
	nested := func(n int) []byte { return []byte(strings.Repeat("[", n) + strings.Repeat("]", n)) }
	if _, err := parseJSON(nested(maxJSONDepth)); err != nil {
		t.Errorf("the deepest: %v", err)
	}
	if _, err := parseJSON(nested(maxJSONDepth + 1)); err == nil {
		t.Error("one deeper was accepted")
	}
	full := "[" + strings.Repeat("0,", maxJSONValues-2) + "0]"
	if _, err := parseJSON([]byte(full)); err != nil {
		t.Errorf("the fullest: %v", err)
	}
	if _, err := parseJSON([]byte("[0," + full[1:])); err == nil {
		t.Error("one value more was accepted")
	}
	for _, n := range []int{fewKeys - 1, fewKeys, fewKeys + 1, 1000} {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `"k%d":0,`, i)
		}
		if _, err := parseJSON([]byte("{" + b.String() + `"x":0}`)); err != nil {
			t.Errorf("%d keys: %v", n, err)
		}
		for _, i := range []int{0, n / 2, n - 1} {
			if _, err := parseJSON(fmt.Appendf(nil, `{%s"k%d":0}`, b.String(), i)); err == nil {
				t.Errorf("key %d of %d again was accepted", i, n)
			}
		}
	}
}

// document makes values whose keys do not repeat.
func drawValue(depth int) *rapid.Generator[any] {
	text := rapid.OneOf(rapid.StringMatching(`[a-z"\\<&é😀\x{2028}]{0,8}`), rapid.SampledFrom([]string{"", "a", "b"}))
	scalar := rapid.OneOf(
		rapid.Map(text, func(s string) any { return s }),
		rapid.Map(rapid.Int64(), func(n int64) any { return n }),
		rapid.Map(rapid.Bool(), func(b bool) any { return b }),
		rapid.Just[any](nil),
	)
	if depth == 0 {
		return scalar
	}
	deeper := rapid.Deferred(func() *rapid.Generator[any] { return drawValue(depth - 1) })
	return rapid.OneOf(
		scalar,
		rapid.Map(rapid.SliceOfN(deeper, 0, 4), func(l []any) any { return l }),
		rapid.Map(rapid.MapOfN(text, deeper, 0, 20), func(m map[string]any) any { return m }),
	)
}

// scramble writes v with its keys in random order, random white space and random escapes.
func scramble(r *rand.Rand, v any) string {
	space := func() string { return []string{"", "", " ", "\n\t", "\r "}[r.IntN(5)] }
	quote := func(s string) string {
		var b strings.Builder
		b.WriteByte('"')
		for _, c := range s {
			switch {
			case c == '"' || c == '\\':
				b.WriteString(`\` + string(c))
			case c < 0x10000 && r.IntN(3) == 0:
				fmt.Fprintf(&b, `\u%04X`, c)
			default:
				b.WriteRune(c)
			}
		}
		return b.String() + `"`
	}
	var parts []string
	switch v := v.(type) {
	case string:
		return quote(v)
	case []any:
		for _, item := range v {
			parts = append(parts, space()+scramble(r, item)+space())
		}
		return "[" + strings.Join(parts, ",") + space() + "]"
	case map[string]any:
		for k, item := range v {
			parts = append(parts, space()+quote(k)+space()+":"+space()+scramble(r, item)+space())
		}
		slices.Sort(parts)
		r.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
		return "{" + space() + strings.Join(parts, ",") + "}"
	}
	b, _ := json.Marshal(v)
	return string(b)
}

// The hash is one for all spellings of a document, and different documents have different ones.
func TestHashTellsDocumentsNotSpellings(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawValue(3).Draw(t, "a"), drawValue(3).Draw(t, "b")
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		hash := func(v any) string {
			text := scramble(r, v)
			d, err := parseJSON([]byte(text))
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			if err := parsesAlike([]byte(text)); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			return d.hash()
		}
		if first, second := hash(a), hash(a); first != second {
			t.Fatal("two spellings of one document have different hashes")
		}
		x, _ := json.Marshal(a)
		y, _ := json.Marshal(b)
		if (hash(a) == hash(b)) != bytes.Equal(x, y) {
			t.Fatalf("%s and %s: equal hashes %v", x, y, hash(a) == hash(b))
		}
	})
}

// Texts that a careless canonical form would mix up.
func TestHashKeepsLookalikesApart(t *testing.T) {
	seen := map[string]string{}
	for _, text := range []string{
		`1`, `1.0`, `"1"`, `[1]`, `{"1":1}`, `true`, `"true"`, `null`, `"null"`, `""`, `[]`, `{}`, `[[]]`, `[[],[]]`, `[{}]`,
		`["a","b"]`, `["a,b"]`, `["ab"]`, `[["a"],"b"]`, `{"a":"b"}`, `{"a":{"b":1}}`, `{"a":{},"b":1}`, `{"b":{},"a":1}`, `[1,11]`, `[11,1]`,
		`"s1:a"`, `["s1:a"]`, `{"a":"k1:b"}`,
	} {
		d, err := parseJSON([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if other, found := seen[d.hash()]; found {
			t.Errorf("%s and %s share a hash", text, other)
		}
		seen[d.hash()] = text
	}
}

func TestDecodeIsClosed(t *testing.T) {
	var into struct {
		Name  string `json:"name"`
		Count int    `json:"count"`
	}
	for body, want := range map[string]string{
		`{"name":"a","count":2}`:   "",
		`{}`:                       "",
		`[]`:                       "JSON body must be an object",
		`{"name":1}`:               "name must not be a JSON number",
		`{"count":"x"}`:            "count must not be a JSON string",
		`{"count":1.5}`:            "count must not be a JSON number 1.5",
		`{"other":1}`:              "other is not a known field",
		`{"name":"a","x\"<b>y":1}`: `x\"<b>y is not a known field`,
	} {
		d, err := parseJSON([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if err := d.decode(&into); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
}
