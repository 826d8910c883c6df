package server

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/blob"
	"github.com/kinora/kinora/internal/netguard"
	"github.com/kinora/kinora/internal/store/storetest"
	"github.com/kinora/kinora/internal/upload"
)

const (
	streamPath = "/api/common/upload/stream"
	urlPath    = "/api/common/upload/url"
	base64Path = "/api/common/upload/base64"
)

// fetched answers for the network: the URL's path says with what.
type fetched struct{}

func (fetched) Download(_ context.Context, rawURL string, limit int64, w io.Writer) (netguard.Downloaded, error) {
	switch {
	case strings.HasSuffix(rawURL, "/cat.png"):
		_, err := w.Write(smallPNG())
		return netguard.Downloaded{}, err
	case strings.HasSuffix(rawURL, "/huge.png"):
		return netguard.Downloaded{}, &netguard.TooLargeError{Limit: limit}
	}
	return netguard.Downloaded{}, &netguard.Refusal{Code: netguard.CodeNotPublic, Message: "destination is not a public address"}
}

// uploadFixture serves real uploads, to a folder and a SQLite database.
func uploadFixture(t *testing.T, change ...func(*Config)) *fixture {
	t.Helper()
	folder, err := blob.OpenFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = folder.Close() })
	service, err := upload.New(upload.Config{
		DB: storetest.SQLite(t), Files: folder, Fetch: fetched{}, Now: func() time.Time { return time.Date(2025, 12, 29, 13, 9, 4, 731057000, time.UTC) },
		URL: func(key string, _ time.Time) string { return "https://files.example/" + key + "?sig=x&exp=1" },
	})
	if err != nil {
		t.Fatal(err)
	}
	f := newFixture(t, append([]func(*Config){func(c *Config) { c.Uploads, c.Limits.Upload.PerMinute = service, -1 }}, change...)...)
	f.folder = folder
	return f
}

// stored lists what uploads have left in storage.
func (f *fixture) storedFiles() []string {
	f.t.Helper()
	var keys []string
	err := f.folder.List(context.Background(), "", func(a blob.Attributes) error {
		keys = append(keys, a.Key)
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return keys
}

func smallPNG() []byte {
	var b bytes.Buffer
	_ = png.Encode(&b, image.NewGray(image.Rect(0, 0, 24, 16)))
	return b.Bytes()
}

// formField is one field of a form; a file has a file name.
type formField struct{ name, filename, content string }

func form(t *testing.T, fields ...formField) (body, contentType string) {
	t.Helper()
	var b strings.Builder
	w := multipart.NewWriter(&b)
	for _, f := range fields {
		var part io.Writer
		var err error
		if f.filename != "" {
			part, err = w.CreateFormFile(f.name, f.filename)
		} else {
			part, err = w.CreateFormField(f.name)
		}
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(part, f.content)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String(), w.FormDataContentType()
}

func contentType(v string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Content-Type", v) }
}

// uploadedIs checks a whole answer; what is random in it is taken from it.
func uploadedIs(t *testing.T, w *httptest.ResponseRecorder, folder, original string) {
	t.Helper()
	var a uploadAnswer
	if err := json.Unmarshal(w.Body.Bytes(), &a); w.Code != 200 || err != nil {
		t.Errorf("answered %d %s", w.Code, w.Body)
		return
	}
	url := "https://files.example/" + folder + "/2025/12/29/" + a.Data.FileName + "?sig=x&exp=1"
	want := fmt.Sprintf(`{"success":true,"code":200,"msg":"File uploaded successfully","data":{"file_id":"%s","file_name":"%s","original_name":"%s",`+
		`"file_size":%d,"mime_type":"image/png","upload_path":"%s/2025/12/29","file_url":"%s","download_url":"%s",`+
		`"upload_time":"2025-12-29T13:09:04.731057","expires_at":"2026-01-01T13:09:04.731057"}}`,
		a.Data.FileID, a.Data.FileName, original, len(smallPNG()), folder, url, url)
	if w.Body.String() != want {
		t.Errorf("answered\n%s\nwant\n%s", w.Body, want)
	}
	if len(a.Data.FileID) != 32 || !strings.HasPrefix(a.Data.FileName, "1767013744731057000_") || !strings.HasSuffix(a.Data.FileName, ".png") {
		t.Errorf("id %q, name %q", a.Data.FileID, a.Data.FileName)
	}
}

func TestUploadStream(t *testing.T) {
	f := uploadFixture(t)
	file, path := formField{"file", "cat.png", string(smallPNG())}, formField{"upload_path", "", "demo"}
	for name, tc := range map[string]struct {
		fields []formField
		folder string
	}{
		"file only": {[]formField{file}, "temp"}, "path first": {[]formField{path, file}, "temp/demo"}, "file first": {[]formField{file, path}, "temp/demo"},
		"other fields": {[]formField{{"file_name", "", "x.png"}, file, {"other", "", "y"}, path}, "temp/demo"}, "empty path": {[]formField{file, {"upload_path", "", ""}}, "temp"},
	} {
		body, kind := form(t, tc.fields...)
		t.Log(name)
		uploadedIs(t, f.do("POST", streamPath, body, contentType(kind)), tc.folder, "cat.png")
	}
	body, kind := form(t, formField{"file", "", string(smallPNG())})
	uploadedIs(t, f.do("POST", streamPath, body, contentType(kind)), "temp", "upload.png")
	if n := len(f.storedFiles()); n != 6 {
		t.Errorf("%d files are stored, want 6", n)
	}
}

func detail(text string) string { return `{"detail":"` + text + `"}` }

func missing(field string) string {
	return `{"detail":[{"loc":["body","` + field + `"],"msg":"field required","type":"value_error.missing"}]}`
}

func TestUploadStreamRefusals(t *testing.T) {
	f := uploadFixture(t)
	file, path := formField{"file", "cat.png", string(smallPNG())}, formField{"upload_path", "", "demo"}
	for name, tc := range map[string]struct {
		fields []formField
		status int
		body   string
	}{
		"no file":        {[]formField{path}, 422, missing("file")},
		"nothing":        {nil, 422, missing("file")},
		"two files":      {[]formField{file, file}, 400, detail("Invalid file data")},
		"two paths":      {[]formField{path, file, path}, 400, detail("Invalid upload path")},
		"path upwards":   {[]formField{{"upload_path", "", "../x"}, file}, 400, detail("Invalid upload path")},
		"late upwards":   {[]formField{file, {"upload_path", "", "a/../b"}}, 400, detail("Invalid upload path")},
		"long path":      {[]formField{{"upload_path", "", strings.Repeat("a", 2000)}, file}, 400, detail("Invalid upload path")},
		"text":           {[]formField{{"file", "cat.png", "hello"}}, 400, detail("Invalid file data")},
		"empty file":     {[]formField{{"file", "cat.png", ""}}, 400, detail("Invalid file data")},
		"too many":       {append(make([]formField, 101), file), 400, detail("Invalid file data")},
		"image too long": {[]formField{{"file", "cat.png", string(smallPNG()) + strings.Repeat("\x00", 20<<20)}}, 413, detail("File too large")},
	} {
		body, kind := form(t, tc.fields...)
		w := f.do("POST", streamPath, body, contentType(kind))
		if w.Code != tc.status || w.Body.String() != tc.body {
			t.Errorf("%s: answered %d %s, want %d %s", name, w.Code, w.Body, tc.status, tc.body)
		}
	}
	good, kind := form(t, file)
	for name, w := range map[string]*httptest.ResponseRecorder{
		"no content type": f.do("POST", streamPath, good), "json": f.do("POST", streamPath, `{}`, contentType("application/json")),
		"urlencoded": f.do("POST", streamPath, "file=x", contentType("application/x-www-form-urlencoded")),
	} {
		t.Log(name)
		is(t, w, 422, missing("file"))
	}
	for name, w := range map[string]*httptest.ResponseRecorder{
		"no boundary": f.do("POST", streamPath, good, contentType("multipart/form-data")), "other boundary": f.do("POST", streamPath, good, contentType("multipart/form-data; boundary=x")),
		"long boundary": f.do("POST", streamPath, good, contentType("multipart/form-data; boundary="+strings.Repeat("x", 71))), "no body": f.do("POST", streamPath, "", contentType(kind)),
	} {
		if w.Code != 400 && w.Code != 422 {
			t.Errorf("%s: answered %d %s", name, w.Code, w.Body)
		}
	}
	for cut := 1; cut < len(good)-2; cut++ {
		if w := f.do("POST", streamPath, good[:cut], contentType(kind)); w.Code != 400 && w.Code != 422 {
			t.Fatalf("a body cut to %d of %d bytes: answered %d %s", cut, len(good), w.Code, w.Body)
		}
	}
	is(t, f.do("POST", streamPath, good, contentType(kind), header("Content-Encoding", "gzip")), 400, detail("Content-Encoding is not supported"))
	if files := f.storedFiles(); len(files) > 0 {
		t.Errorf("refused uploads left %v", files)
	}
}

func TestUploadURL(t *testing.T) {
	f := uploadFixture(t)
	uploadedIs(t, f.do("POST", urlPath, `{"file_url":"https://a.example/cat.png","upload_path":"demo","file_name":"x","other":[1]}`), "temp/demo", "cat.png")
	uploadedIs(t, f.do("POST", urlPath, `{"upload_path":null,"file_url":"http://a.example/cat.png"}`), "temp", "cat.png")
	for body, want := range map[string]string{
		`{"file_url":""}`: detail("Invalid URL"), `{"file_url":"ftp://a.example/cat.png"}`: detail("Invalid URL"), `{"file_url":5}`: detail("Invalid URL"),
		`{"file_url":"https://a.example/gone"}`: detail("Invalid URL"), `{"file_url":["https://a.example/cat.png"]}`: detail("Invalid URL"),
		`{"file_url":"https://a.example/cat.png","upload_path":".."}`: detail("Invalid upload path"), `{"file_url":"https://a.example/cat.png","upload_path":7}`: detail("Invalid upload path"),
		`[]`: detail("JSON body must be an object"), `{`: detail("invalid JSON body"), ``: detail("invalid JSON body"),
		`{"file_url":"a","file_url":"b"}`: detail(`JSON body has the key \"file_url\" twice`),
	} {
		is(t, f.do("POST", urlPath, body), 400, want)
	}
	is(t, f.do("POST", urlPath, `{}`), 422, missing("file_url"))
	is(t, f.do("POST", urlPath, `{"file_url":null}`), 422, missing("file_url"))
	is(t, f.do("POST", urlPath, `{"file_url":"https://a.example/huge.png"}`), 413, detail("File too large"))
	if n := len(f.storedFiles()); n != 2 {
		t.Errorf("%d files are stored, want 2", n)
	}
}

func TestUploadBase64(t *testing.T) {
	f := uploadFixture(t)
	text := base64.StdEncoding.EncodeToString(smallPNG())
	for body, folder := range map[string]string{
		`{"base64_data":"` + text + `"}`:                                                          "temp",
		`{"base64_data":"data:image/png;base64,` + text + `","upload_path":"demo"}`:               "temp/demo",
		`{"upload_path":"demo","base64_data":"` + text + `"}`:                                     "temp/demo",
		` { "a" : [1,{"b":"}"}] , "upload_path" : null , "base64_data" : "` + text + `" , "c":1}`: "temp",
		`{"base64_data":"` + strings.ReplaceAll(text, "/", `\/`) + `","upload_path":"d\u0065mo"}`: "temp/demo",
		`{"base64_data":"` + strings.ReplaceAll(text, "+", `\u002B`) + `\r\n","file_name":"x"}`:   "temp",
		"{\"base64\\u005fdata\":\"" + text + "\"}\n":                                              "temp",
	} {
		uploadedIs(t, f.do("POST", base64Path, body), folder, "upload.png")
	}
	stored := len(f.storedFiles())
	for body, want := range map[string]string{
		`{"base64_data":""}`: detail("Invalid file data"), `{"base64_data":"!!!"}`: detail("Invalid file data"), `{"base64_data":"aGVsbG8="}`: detail("Invalid file data"),
		`{"base64_data":5}`: detail("Invalid file data"), `{"base64_data":["` + text + `"]}`: detail("Invalid file data"), `{"base64_data":"` + text + `é"}`: detail("Invalid file data"),
		`{"base64_data":"` + text + `","upload_path":"../x"}`: detail("Invalid upload path"), `{"base64_data":"` + text + `","upload_path":{}}`: detail("Invalid upload path"),
		`{"base64_data":"` + text + `"`: detail("invalid JSON body"), `{"base64_data":"` + text: detail("invalid JSON body"), `{"base64_data":"` + text + `"}x`: detail("invalid JSON body"),
		`{"base64_data":"` + text + `",}`: detail("invalid JSON body"), `{"base64_data" "` + text + `"}`: detail("invalid JSON body"), `{base64_data:"` + text + `"}`: detail("invalid JSON body"),
		`{"base64_data":"` + text + `","x":tru}`: detail("invalid JSON body"), `{"base64_data":"` + text + "\n" + `"}`: detail("invalid JSON body"),
		`{"base64_data":"` + text + `\x"}`: detail("invalid JSON body"), `{"base64_data":"` + text + `\u00g0"}`: detail("invalid JSON body"),
		`{"base64_data":"` + text + `\u00e9"}`: detail("Invalid file data"), `{"x":"` + strings.Repeat("y", 70_000) + `"}`: detail("JSON body has a field that is too long"),
		`[]`: detail("JSON body must be an object"), `"x"`: detail("JSON body must be an object"), ``: detail("invalid JSON body"), `{`: detail("invalid JSON body"), `{"a":1`: detail("invalid JSON body"),
		`{"base64_data":"` + text + `","base64_data":"` + text + `"}`: detail(`JSON body has the key \"base64_data\" twice`),
	} {
		is(t, f.do("POST", base64Path, body), 400, want)
	}
	for _, body := range []string{`{}`, `{"base64_data":null}`, `{"upload_path":"demo"}`} {
		is(t, f.do("POST", base64Path, body), 422, missing("base64_data"))
	}
	big := base64.StdEncoding.EncodeToString(append(smallPNG(), make([]byte, 20<<20)...))
	is(t, f.do("POST", base64Path, `{"base64_data":"`+big+`"}`), 413, detail("File too large"))
	if n := len(f.storedFiles()); n != stored {
		t.Errorf("refused uploads left %d files", n-stored)
	}
}

func TestUploadErrorsOfEveryRoute(t *testing.T) {
	f := uploadFixture(t, func(c *Config) { c.Limits.Upload = Limit{PerMinute: 60, Burst: 3} })
	for _, path := range []string{streamPath, urlPath, base64Path} {
		is(t, f.do("POST", path, "{}", func(r *http.Request) { r.Header.Del("Authorization") }), 401, detail("Unauthorized"))
		is(t, f.do("POST", path, "{}", key("sk-unknown")), 401, detail("Unauthorized"))
		is(t, f.do("POST", path, "{}", key(adminToken)), 401, detail("Unauthorized"))
		is(t, f.do("POST", path, "{}", key(disabledKey)), 403, detail("Forbidden"))
		is(t, f.do("POST", path, "{}", key(brokenKey)), 503, detail("Service unavailable"))
		is(t, f.do("GET", path, ""), 405, detail("Method not allowed"))
	}
	for _, path := range []string{streamPath, urlPath, base64Path} { // one limit for the three of them
		if w := f.do("POST", path, "{}"); w.Code != 422 {
			t.Errorf("%s: answered %d", path, w.Code)
		}
	}
	w := f.do("POST", urlPath, "{}")
	is(t, w, 429, detail("Too many requests"))
	if w.Header().Get("Retry-After") != "1" {
		t.Errorf("Retry-After %q", w.Header().Get("Retry-After"))
	}
	r := httptest.NewRequest("POST", streamPath, strings.NewReader("x"))
	r.ContentLength = 1 << 40
	r.Header.Set("Authorization", "Bearer "+otherKey)
	r.Header.Set("Content-Type", "multipart/form-data; boundary=x")
	recorder := httptest.NewRecorder()
	f.Handler().ServeHTTP(recorder, r)
	is(t, recorder, 413, detail("File too large"))

	broken := newFixture(t, func(c *Config) { c.Uploads = failingUploads{errors.New("disk on fire, secret-of-ours")} })
	is(t, broken.do("POST", urlPath, `{"file_url":"https://a.example/cat.png"}`), 500, detail("Internal server error"))
	if strings.Contains(broken.do("POST", urlPath, `{"file_url":"x"}`).Body.String(), "secret-of-ours") {
		t.Error("a fault is shown to the caller")
	}
	full := newFixture(t, func(c *Config) {
		c.Uploads = failingUploads{kinora.Errorf(kinora.ErrUnavailable, "the storage is full")}
	})
	w = full.do("POST", urlPath, `{"file_url":"https://a.example/cat.png"}`)
	is(t, w, 503, detail("Service unavailable"))
	if w.Header().Get("Retry-After") == "" {
		t.Error("a 503 without Retry-After")
	}
	none := newFixture(t)
	is(t, none.do("POST", urlPath, `{}`), 404, detail("Not found"))
}

type failingUploads struct{ err error }

func (u failingUploads) Save(_ context.Context, _, _, _ string, file io.Reader, _ func() (string, error)) (*kinora.Upload, error) {
	if _, err := io.Copy(io.Discard, file); err != nil {
		return nil, err
	}
	return nil, u.err
}

func (u failingUploads) SaveBase64(_ context.Context, _, _ string, text io.Reader, _ func() (string, error)) (*kinora.Upload, error) {
	return u.Save(context.Background(), "", "", "", text, nil)
}

func (u failingUploads) SaveURL(context.Context, string, string, string) (*kinora.Upload, error) {
	return nil, u.err
}
func (u failingUploads) URL(*kinora.Upload) string { return "" }
func (u failingUploads) MaxSize() int64            { return 100 << 20 }

// What a request holds in memory must not depend on the file's size.
func TestUploadsAreStreamed(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.Uploads = failingUploads{kinora.Errorf(kinora.ErrInvalid, "read to its end")} })
	const size = 64 << 20
	filler := func() io.Reader { return io.LimitReader(letters{}, size) }
	for path, body := range map[string]io.Reader{
		streamPath: io.MultiReader(strings.NewReader("--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n"), filler(), strings.NewReader("\r\n--b--\r\n")),
		base64Path: io.MultiReader(strings.NewReader(`{"base64_data":"`), filler(), strings.NewReader(`"}`)),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		w := f.doReader("POST", path, body, contentType("multipart/form-data; boundary=b"))
		runtime.ReadMemStats(&after)
		is(t, w, 400, detail("read to its end"))
		if used := after.TotalAlloc - before.TotalAlloc; used > size/8 {
			t.Errorf("%s: %d bytes were allocated for a file of %d", path, used, size)
		}
	}
}

type letters struct{}

func (letters) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'A'
	}
	return len(p), nil
}

// A slow upload may take longer than the server gives to whole requests, as long as it goes on; one that stalls ends.
func TestSlowUploads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, func(c *Config) { c.Uploads = failingUploads{kinora.Errorf(kinora.ErrInvalid, "read to its end")} })
		listener := newPipeListener()
		server := HTTPServer(HTTPConfig{}, f.Handler())
		served := make(chan error, 1)
		go func() { served <- server.Serve(listener) }()
		client := &http.Client{Transport: &http.Transport{DialContext: listener.dial}}
		send := func(pause time.Duration) (int, string, error) {
			reader, writer := io.Pipe()
			done := make(chan struct{})
			defer func() { _ = reader.Close(); <-done }()
			go func() {
				defer close(done)
				_, _ = writer.Write([]byte(`{"base64_data":"`))
				for range 4 {
					time.Sleep(pause)
					_, _ = writer.Write(bytes.Repeat([]byte("A"), 1<<20))
				}
				_, _ = writer.Write([]byte(`"}`))
				_ = writer.Close()
			}()
			r, err := http.NewRequestWithContext(t.Context(), "POST", "http://kinora.test"+base64Path, reader)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+testKey)
			resp, err := client.Do(r)
			if err != nil {
				return 0, "", err
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			return resp.StatusCode, string(body), err
		}
		if status, body, err := send(45 * time.Second); status != 400 || body != detail("read to its end") {
			t.Errorf("an upload of three minutes: %d %s %v", status, body, err)
		}
		if status, body, err := send(5 * time.Minute); err == nil && body != detail("request body did not arrive in time") {
			t.Errorf("an upload that stalls: %d %s %v", status, body, err)
		}
		client.CloseIdleConnections()
		_ = server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
}

// pipeListener is a network in memory, whose deadlines go by the test's clock.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { close(l.closed); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// The reader of base64 bodies and encoding/json have to agree on whatever it accepts.
func FuzzUploadObject(f *testing.F) {
	for _, s := range []string{
		`{"base64_data":"AAAA","upload_path":"demo"}`, `{"upload_path":"x","base64_data":"A\/\u0041"}`, `{}`, `{"a":[1,"]"],"base64_data":null}`,
		`{"base64_data":"AA"`, `{"base64_data":"AA"}}`, `{"base64_data":"\""}`, ` {"x":-1.5e3 , "y":{"z":"}"}} `, `{"":""}`, `{"upload_path":"\ud83d\ude00"}`, "{\"a\":\"\xff\"}",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		o := newUploadObject(strings.NewReader(body))
		text, err := o.data()
		var content []byte
		if err == nil {
			if content, err = io.ReadAll(text); err == nil {
				_, err = o.rest()
			}
		}
		var none *fieldMissing
		if err != nil && !errors.As(err, &none) {
			return
		}
		if !json.Valid([]byte(body)) {
			t.Fatalf("%q is no JSON, and was accepted", body)
		}
		var want struct {
			Data *string `json:"base64_data"`
			Path *string `json:"upload_path"`
		}
		var keys map[string]json.RawMessage
		if json.Unmarshal([]byte(body), &keys) != nil {
			t.Fatalf("%q is no object, and was accepted", body)
		}
		// By exact names: encoding/json also takes other cases of letters.
		for name, into := range map[string]**string{"base64_data": &want.Data, "upload_path": &want.Path} {
			if raw, ok := keys[name]; ok && json.Unmarshal(raw, into) != nil {
				t.Fatalf("%q has %s that is no text, and was accepted", body, name)
			}
		}
		if (want.Data == nil) != (err != nil) || want.Data != nil && strings.ToValidUTF8(*want.Data, "") == *want.Data && !strings.Contains(*want.Data, "\ufffd") && *want.Data != string(content) {
			t.Fatalf("%q: base64_data is %q for us", body, content)
		}
		if want.Path != nil && *want.Path != o.folder || want.Path == nil && o.folder != "" {
			t.Fatalf("%q: upload_path is %q for us", body, o.folder)
		}
	})
}
