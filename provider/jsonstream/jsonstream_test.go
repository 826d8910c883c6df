package jsonstream_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/kinora/kinora/provider/jsonstream"
)

// at chooses the strings under one name, and keeps what they held by path.
func at(name string, got map[string]string) jsonstream.Choose {
	return func(path []string) func(io.Reader) error {
		if len(path) == 0 || path[len(path)-1] != name {
			return nil
		}
		where := strings.Join(path, ".")
		return func(r io.Reader) error {
			b, err := io.ReadAll(r)
			got[where] = string(b)
			return err
		}
	}
}

func TestCutTakesOutWhatIsChosen(t *testing.T) {
	const doc = ` {"created": 17, "data": [ {"b64_json":"QUJD\/\u0041","revised":"b64_json"}, {"b64_json":""} ],
		"deep":{"list":[[],{},[true,null,-1.5e+3]], "b64_json": 4}} `
	for name, r := range map[string]io.Reader{
		"at once": strings.NewReader(doc), "byte by byte": iotest.OneByteReader(strings.NewReader(doc)),
	} {
		got := map[string]string{}
		rest, err := jsonstream.Cut(r, 1000, at("b64_json", got))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if want := map[string]string{"data.0.b64_json": "QUJD/A", "data.1.b64_json": ""}; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: took %v, want %v", name, got, want)
		}
		if want := strings.ReplaceAll(doc, `QUJD\/\u0041`, ""); string(rest) != want {
			t.Errorf("%s: left %s", name, rest)
		}
	}
}

func TestCutSkipsWhatIsNotRead(t *testing.T) {
	rest, err := jsonstream.Cut(strings.NewReader(`["abc\"]",{"a":"x"}]`), 100, func(path []string) func(io.Reader) error {
		if path[0] == "0" {
			return jsonstream.Drop
		}
		return nil
	})
	if err != nil || string(rest) != `["",{"a":"x"}]` {
		t.Errorf("left %s, error %v", rest, err)
	}
}

func TestCutRefusesWhatIsNoDocument(t *testing.T) {
	const whole = `{"a":["b",1,{"c":"d\u00e9"}],"e":null}`
	for cut := range len(whole) {
		_, err := jsonstream.Cut(strings.NewReader(whole[:cut]), 1000, at("c", map[string]string{}))
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("the first %d bytes: error %v", cut, err)
		}
	}
	for _, doc := range []string{
		whole + "x", "{]", `{"a"}`, `{"a":}`, `{a:1}`, `[1,]`, `[1 2]`, `{"a":1,}`, "nope", "<html>", `"a` + "\n" + `"`, `{"c":"\x"}`, `{"c":"\u12g4"}`,
		strings.Repeat("[", 1000) + strings.Repeat("]", 1000),
	} {
		if _, err := jsonstream.Cut(strings.NewReader(doc), 10000, at("c", map[string]string{})); !errors.Is(err, jsonstream.ErrSyntax) {
			t.Errorf("%.40s: error %v", doc, err)
		}
	}
	for _, doc := range []string{whole + strings.Repeat(" ", 2000), `{"b":"` + strings.Repeat("x", 2000) + `"}`, `{"` + strings.Repeat("x", 2000) + `":1}`} {
		if _, err := jsonstream.Cut(strings.NewReader(doc), 1000, nil); !errors.Is(err, jsonstream.ErrTooLarge) {
			t.Errorf("%.20s…: error %v", doc, err)
		}
	}
}

func TestCutTellsWhoFailed(t *testing.T) {
	cable := errors.New("the cable was pulled")
	_, err := jsonstream.Cut(io.MultiReader(strings.NewReader(`{"a":"xy`), iotest.ErrReader(cable)), 100, func([]string) func(io.Reader) error {
		return func(r io.Reader) error {
			if _, err := io.ReadAll(r); err != nil {
				return errors.New("something went wrong") // as storage may say it
			}
			return nil
		}
	})
	if !errors.Is(err, cable) {
		t.Errorf("error %v, want the stream's own", err)
	}
	disk := errors.New("the disk is full")
	_, err = jsonstream.Cut(strings.NewReader(`{"a":"xy"}`), 100, func([]string) func(io.Reader) error {
		return func(io.Reader) error { return disk }
	})
	if !errors.Is(err, disk) {
		t.Errorf("error %v, want the taker's own", err)
	}
}

// endless is a document with one string of n bytes of base64, made while it is read.
func endless(n int64) io.Reader {
	return io.MultiReader(strings.NewReader(`{"data":[{"b64_json":"`), io.LimitReader(zeroes{}, n), strings.NewReader(`"}]}`))
}

type zeroes struct{}

func (zeroes) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'A'
	}
	return len(p), nil
}

func TestCutHoldsLittle(t *testing.T) {
	const size = 64 << 20
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var n int64
	_, err := jsonstream.Cut(endless(size), 1000, func([]string) func(io.Reader) error {
		return func(r io.Reader) (err error) {
			n, err = io.Copy(io.Discard, jsonstream.Base64(r))
			return err
		}
	})
	runtime.ReadMemStats(&after)
	if err != nil || n != size/4*3 {
		t.Fatalf("read %d bytes, error %v", n, err)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20 {
		t.Errorf("%d bytes were allocated for a string of %d", used, size)
	}
}

func TestBase64(t *testing.T) {
	plain := bytes.Repeat([]byte{0xfb, 0xff, 0x00, 0x41}, 1000)
	for cut := range 5 {
		want := plain[:len(plain)-cut]
		std := base64.StdEncoding.EncodeToString(want)
		for name, text := range map[string]string{
			"standard": std, "without padding": strings.TrimRight(std, "="), "for URLs": base64.URLEncoding.EncodeToString(want),
			"in lines": std[:400] + "\r\n" + std[400:] + "\n", "data URL": "data:image/png;base64," + std,
		} {
			got, err := io.ReadAll(jsonstream.Base64(iotest.HalfReader(strings.NewReader(text))))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s, less %d: %d bytes of %d, error %v", name, cut, len(got), len(want), err)
			}
		}
	}
	for _, text := range []string{"QUJD!", "QQ==QQ==", "data:image/png", "Q"} {
		if _, err := io.ReadAll(jsonstream.Base64(strings.NewReader(text))); err == nil {
			t.Errorf("%q was decoded", text)
		}
	}
}

func TestEvents(t *testing.T) {
	stream := ": hello\n\nevent: one\ndata: {\"a\":\ndata: 1}\n\nid: 4\r\nevent: two\r\ndata:" + strings.Repeat("x", 10000) +
		"\r\n\r\nevent: empty\n\nnonsense\ndata: [DONE]\n\nevent: last\ndata: unended"
	for name, r := range map[string]io.Reader{
		"at once": strings.NewReader(stream), "byte by byte": iotest.OneByteReader(strings.NewReader(stream)),
	} {
		events := jsonstream.NewEvents(r)
		var got []string
		for events.Next() {
			b, err := io.ReadAll(events.Data())
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprintf("%s|%d|%.12q", events.Name(), len(b), b))
		}
		want := []string{`one|9|"{\"a\":\n 1}"`, `two|10001|"xxxxxxxxxxxx"`, `|6|"[DONE]"`, `last|7|"unended"`}
		if err := events.Err(); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %q, error %v", name, got, err)
		}
	}
	// Data that nobody reads is passed over, and a failure is told.
	cable := errors.New("the cable was pulled")
	events := jsonstream.NewEvents(io.MultiReader(strings.NewReader("data: "+strings.Repeat("x", 9000)+"\n\ndata: y"), iotest.ErrReader(cable)))
	if !events.Next() || !events.Next() {
		t.Fatal("two events were expected")
	}
	if events.Next() || !errors.Is(events.Err(), cable) {
		t.Errorf("error %v", events.Err())
	}
}

// An event is handed out when it has come, however long the next one takes.
func TestEventsDoNotWaitForTheNext(t *testing.T) {
	for _, text := range []string{"event: one\ndata: {\"a\":1}\n\n", "data: {\"a\":\r\ndata: 1}\r\n\r\n", "data: {\"a\":1}\nid: 7\n\n"} {
		synctest.Test(t, func(t *testing.T) {
			r, w := io.Pipe()
			events, handled := jsonstream.NewEvents(r), 0
			done := make(chan struct{})
			go func() {
				defer close(done)
				for events.Next() {
					if _, err := jsonstream.Cut(events.Data(), 100, nil); err != nil {
						t.Error(err)
					}
					handled++
				}
			}()
			for n := 1; n <= 2; n++ {
				if _, err := io.WriteString(w, text); err != nil {
					t.Fatal(err)
				}
				synctest.Wait() // the reader wants what has not been written
				if handled != n {
					t.Errorf("%q: %d events were handed out of %d", text, handled, n)
				}
			}
			_ = w.Close() // of a pipe, which never fails
			<-done
		})
	}
}

// FuzzCut holds Cut against encoding/json: what one takes for a document, the other does, and
// the strings cut out are those that were there.
func FuzzCut(f *testing.F) {
	for _, seed := range []string{
		`{"a":"b","c":["d","e\n\ud83d\ude00"],"f":{"a":"\ud800x"}}`, `"x"`, `[]`, ` 12 `, "{\"a\":\"\xff\"}", `{"a":"\u0000\/"}`, `["a" , true]`, `{"":""}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		got := map[string]string{}
		rest, err := jsonstream.Cut(iotest.HalfReader(bytes.NewReader(doc)), 1<<20, func(path []string) func(io.Reader) error {
			if len(path) == 0 {
				return nil
			}
			where := ""
			for _, name := range path {
				where += fmt.Sprintf(".%q", name)
			}
			return func(r io.Reader) error {
				b, err := io.ReadAll(r)
				got[where] = string(b)
				return err
			}
		})
		var whole, left any
		parsed := decode(doc, &whole)
		if (parsed == nil) != (err == nil) {
			if err != nil && strings.Contains(err.Error(), "nested") {
				return
			}
			t.Fatalf("encoding/json says %v, Cut %v", parsed, err)
		}
		if err != nil {
			return
		}
		if err := decode(rest, &left); err != nil {
			t.Fatalf("the rest is no JSON: %v", err)
		}
		want := map[string]string{}
		if blank := empty(whole, "", want); !reflect.DeepEqual(blank, left) {
			t.Fatalf("left %v, want %v", left, blank)
		}
		for path, text := range want {
			if got[path] != text {
				t.Fatalf("at %q: %q, want %q", path, got[path], text)
			}
		}
	})
}

// decode is json.Unmarshal without a limit to numbers.
func decode(doc []byte, into *any) error {
	if !json.Valid(doc) {
		return errors.New("not valid")
	}
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	return dec.Decode(into)
}

// empty notes the strings of a value by path, and blanks them where a path is not empty.
func empty(v any, path string, found map[string]string) any {
	switch v := v.(type) {
	case string:
		if path == "" {
			return v
		}
		found[path] = v
		return ""
	case []any:
		for i, e := range v {
			v[i] = empty(e, fmt.Sprintf("%s.%q", path, strconv.Itoa(i)), found)
		}
	case map[string]any:
		for k, e := range v {
			v[k] = empty(e, path+fmt.Sprintf(".%q", k), found)
		}
	}
	return v
}
