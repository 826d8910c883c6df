package server

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"iter"
	"net/http"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Bounds of a JSON body beside its size. No honest request comes near; without them a small body could take much memory.
const (
	maxJSONDepth  = 64
	maxJSONValues = 100_000 // values and keys
)

// readJSON reads the request's body and parses it. Its errors have the codes errMalformed and kinora.ErrTooLarge.
func (s *Server) readJSON(x *exchange, r *http.Request) (*document, error) {
	if e := r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return nil, refuse(errMalformed, "Content-Encoding is not supported")
	}
	body, err := s.body(x, r)
	if err != nil {
		return nil, err
	}
	return parseJSON(body)
}

// jsonKind is what a JSON value is.
type jsonKind uint8

const (
	jsonNull jsonKind = iota
	jsonBool
	jsonNumber
	jsonString
	jsonArray
	jsonObject
)

// node is a value or a key. Its children follow it; next is the index behind the last of them.
type node struct {
	kind       jsonKind
	escaped    bool   // a string that holds escapes
	start, end uint32 // bytes of the body
	next       uint32
}

// document is a JSON text that has passed every check, as a list of its values in the order of the text. Values point
// into the body, which therefore must not change.
type document struct {
	body  []byte
	nodes []node
}

// parseJSON checks a JSON text and indexes it. It is stricter than encoding/json: no duplicate keys anywhere, no invalid
// UTF-8, no half surrogate pairs and no U+0000 (which databases cannot hold), nothing behind the value, bounded depth
// and number of values. Whatever it accepts means the same to every reader.
func parseJSON(body []byte) (*document, error) {
	switch {
	case !utf8.Valid(body):
		return nil, refuse(errMalformed, "JSON body is not valid UTF-8")
	case uint64(len(body)) > 1<<31:
		return nil, bodyTooLarge()
	case !json.Valid(body):
		if tooDeep(body) {
			return nil, errTooDeep()
		}
		return nil, refuse(errMalformed, "invalid JSON body")
	}
	d := &document{body: body, nodes: make([]node, 0, 64)}
	p := parser{document: d}
	if err := p.value(1); err != nil {
		return nil, err
	}
	return d, nil
}

func errTooDeep() error { return refuse(errMalformed, "JSON body is nested too deeply") }

// tooDeep tells nesting beyond what json.Valid takes from plain nonsense, for the message only.
func tooDeep(body []byte) bool {
	const opening = 10_000
	return bytes.Count(body, []byte("["))+bytes.Count(body, []byte("{")) > opening
}

// parser walks a text that json.Valid has accepted, so it does not check the grammar again.
type parser struct {
	*document
	at int
}

func (p *parser) add(kind jsonKind) (int, error) {
	if len(p.nodes) >= maxJSONValues {
		return 0, refuse(errMalformed, "JSON body has too many values")
	}
	p.nodes = append(p.nodes, node{kind: kind, start: uint32(p.at)})
	return len(p.nodes) - 1, nil
}

func (p *parser) finish(i int) {
	p.nodes[i].end, p.nodes[i].next = uint32(p.at), uint32(len(p.nodes))
}

func (p *parser) space() {
	for p.at < len(p.body) {
		switch p.body[p.at] {
		case ' ', '\t', '\n', '\r':
			p.at++
		default:
			return
		}
	}
}

func (p *parser) value(depth int) error {
	p.space()
	switch c := p.body[p.at]; c {
	case '{', '[':
		if depth > maxJSONDepth {
			return errTooDeep()
		}
		if c == '{' {
			return p.object(depth)
		}
		return p.array(depth)
	case '"':
		return p.text()
	case 'n':
		return p.literal(jsonNull)
	case 't', 'f':
		return p.literal(jsonBool)
	}
	return p.literal(jsonNumber)
}

// literal reads a number, true, false or null, all of which end where a delimiter or the text's end stands.
func (p *parser) literal(kind jsonKind) error {
	i, err := p.add(kind)
	if err != nil {
		return err
	}
	for p.at < len(p.body) {
		switch p.body[p.at] {
		case ',', '}', ']', ' ', '\t', '\n', '\r':
			p.finish(i)
			return nil
		}
		p.at++
	}
	p.finish(i)
	return nil
}

func (p *parser) array(depth int) error {
	i, err := p.add(jsonArray)
	if err != nil {
		return err
	}
	for p.at++; ; p.at++ {
		if p.space(); p.body[p.at] == ']' {
			break
		}
		if err := p.value(depth + 1); err != nil {
			return err
		}
		if p.space(); p.body[p.at] == ']' {
			break
		}
	}
	p.at++
	p.finish(i)
	return nil
}

func (p *parser) object(depth int) error {
	i, err := p.add(jsonObject)
	if err != nil {
		return err
	}
	for p.at++; ; p.at++ {
		if p.space(); p.body[p.at] == '}' {
			break
		}
		if err := p.text(); err != nil {
			return err
		}
		p.space()
		p.at++ // the colon
		if err := p.value(depth + 1); err != nil {
			return err
		}
		if p.space(); p.body[p.at] == '}' {
			break
		}
	}
	p.at++
	p.finish(i)
	return value{p.document, i}.checkKeys()
}

func (p *parser) text() error {
	i, err := p.add(jsonString)
	if err != nil {
		return err
	}
	for p.at++; p.body[p.at] != '"'; p.at++ {
		if p.body[p.at] != '\\' {
			continue
		}
		p.nodes[i].escaped = true
		if p.at++; p.body[p.at] != 'u' {
			continue
		}
		if err := p.codeUnit(); err != nil {
			return err
		}
	}
	p.at++
	p.finish(i)
	return nil
}

// codeUnit reads the escape at the "u" of "\uXXXX", or both escapes of a surrogate pair, and stops on the last digit.
func (p *parser) codeUnit() error {
	r := hexDigits(p.body[p.at+1 : p.at+5])
	p.at += 4
	switch {
	case r == 0:
		return refuse(errMalformed, "JSON body holds U+0000")
	case r < 0xD800 || r > 0xDFFF:
		return nil
	case r < 0xDC00 && len(p.body) > p.at+6 && p.body[p.at+1] == '\\' && p.body[p.at+2] == 'u':
		if low := hexDigits(p.body[p.at+3 : p.at+7]); low >= 0xDC00 && low <= 0xDFFF {
			p.at += 6
			return nil
		}
	}
	return refuse(errMalformed, "JSON body holds half of a surrogate pair")
}

func hexDigits(b []byte) rune {
	var r rune
	for _, c := range b {
		switch {
		case c >= 'a':
			c -= 'a' - 10
		case c >= 'A':
			c -= 'A' - 10
		default:
			c -= '0'
		}
		r = r<<4 | rune(c)
	}
	return r
}

// value is one value of a document. The zero value stands for one that is absent.
type value struct {
	d *document
	i int
}

func (d *document) root() value { return value{d, 0} }

func (v value) node() node     { return v.d.nodes[v.i] }
func (v value) present() bool  { return v.d != nil }
func (v value) kind() jsonKind { return v.node().kind }

// given reports whether the value is there and not null.
func (v value) given() bool { return v.present() && v.kind() != jsonNull }

// raw is the value as it was sent. It shares the body's memory, and cannot be appended to.
func (v value) raw() json.RawMessage {
	n := v.node()
	return json.RawMessage(v.d.body[n.start:n.end:n.end])
}

// bytes is the content of a string. It may share the body's memory.
func (v value) bytes() []byte {
	n := v.node()
	if !n.escaped {
		return v.d.body[n.start+1 : n.end-1]
	}
	return []byte(v.text())
}

// text is the content of a string.
func (v value) text() string {
	n := v.node()
	if !n.escaped {
		return string(v.d.body[n.start+1 : n.end-1])
	}
	var s string
	if err := json.Unmarshal(v.raw(), &s); err != nil {
		panic(err) // parseJSON has seen to it
	}
	return s
}

// number is the text of a number.
func (v value) number() json.Number { return json.Number(v.raw()) }

// members runs over the keys and values of an object.
func (v value) members() iter.Seq2[value, value] {
	return func(yield func(key, val value) bool) {
		for i, end := v.i+1, int(v.node().next); i < end; i = int(v.d.nodes[i+1].next) {
			if !yield(value{v.d, i}, value{v.d, i + 1}) {
				return
			}
		}
	}
}

// items runs over the values of an array.
func (v value) items() iter.Seq[value] {
	return func(yield func(value) bool) {
		for i, end := v.i+1, int(v.node().next); i < end; i = int(v.d.nodes[i].next) {
			if !yield(value{v.d, i}) {
				return
			}
		}
	}
}

// fewKeys is up to how many keys comparing each with each is faster than a map.
const fewKeys = 16

// checkKeys refuses an object that has a key twice: readers disagree on which one counts.
func (v value) checkKeys() error {
	var few [fewKeys][]byte
	var many map[string]struct{}
	n := 0
	for key := range v.members() {
		name := key.bytes()
		if n == fewKeys {
			many = make(map[string]struct{}, 2*fewKeys)
			for _, k := range few {
				many[string(k)] = struct{}{}
			}
		}
		if n < fewKeys {
			for _, k := range few[:n] {
				if bytes.Equal(k, name) {
					return duplicateKey(name)
				}
			}
			few[n] = name
		} else {
			if _, twice := many[string(name)]; twice {
				return duplicateKey(name)
			}
			many[string(name)] = struct{}{}
		}
		n++
	}
	return nil
}

func duplicateKey(name []byte) error {
	return refuse(errMalformed, "JSON body has the key %s twice", strconv.Quote(shown(string(name))))
}

// hash is the SHA-256, in hexadecimal, of the document's meaning: the same for two texts that differ in white space, in
// the order of keys or in the escapes of strings only. Numbers count as they are written: 1 is not 1.0.
func (d *document) hash() string {
	sum := sha256.Sum256(d.root().canonical(make([]byte, 0, len(d.body)+len(d.body)/2)))
	return hex.EncodeToString(sum[:])
}

// canonical appends a form in which every part says how long it is, so that no two documents share one.
func (v value) canonical(dst []byte) []byte {
	switch v.kind() {
	case jsonString:
		return appendSized(dst, 's', v.bytes())
	case jsonObject:
		type member struct {
			name []byte
			val  value
		}
		var members []member
		for key, val := range v.members() {
			members = append(members, member{key.bytes(), val})
		}
		slices.SortFunc(members, func(a, b member) int { return bytes.Compare(a.name, b.name) })
		dst = strconv.AppendInt(append(dst, 'o'), int64(len(members)), 10)
		for _, m := range members {
			dst = m.val.canonical(appendSized(dst, 'k', m.name))
		}
		return dst
	case jsonArray:
		n := 0
		for range v.items() {
			n++
		}
		dst = strconv.AppendInt(append(dst, 'a'), int64(n), 10)
		for item := range v.items() {
			dst = item.canonical(dst)
		}
		return dst
	}
	return appendSized(dst, 'l', v.raw())
}

func appendSized(dst []byte, tag byte, b []byte) []byte {
	dst = strconv.AppendInt(append(dst, tag), int64(len(b)), 10)
	return append(append(dst, ':'), b...)
}
