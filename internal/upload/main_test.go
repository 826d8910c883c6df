package upload

import (
	"bytes"
	"context"
	"encoding/binary"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/blob"
	"github.com/kinora/kinora/internal/netguard"
	"github.com/kinora/kinora/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var testTime = time.Date(2025, 12, 29, 13, 9, 4, 731057123, time.UTC)

const testOrg = "org_00000000000000000000000001"

// fixture is a service on a real database and a real folder, with faults on demand.
type fixture struct {
	*Service
	t     *testing.T
	db    *store.DB
	files *faultyFiles
	fetch *fakeFetch
}

func newFixture(t *testing.T, db *store.DB, change ...func(*Config)) *fixture {
	t.Helper()
	folder, err := blob.OpenFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = folder.Close() })
	f := &fixture{t: t, db: db, files: &faultyFiles{Files: folder}, fetch: &fakeFetch{}}
	cfg := Config{
		DB: db, Files: f.files, Fetch: f.fetch, Now: func() time.Time { return testTime },
		URL: func(key string, expires time.Time) string {
			return "https://files.example/" + key + "?exp=" + expires.Format(time.RFC3339)
		},
	}
	for _, c := range change {
		c(&cfg)
	}
	if f.Service, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) save(file []byte) (*kinora.Upload, error) {
	return f.Save(f.t.Context(), testOrg, "cat.png", "", bytes.NewReader(file), nil)
}

// keys lists what storage holds.
func (f *fixture) keys() []string {
	f.t.Helper()
	var list []string
	err := f.files.List(context.Background(), "", func(a blob.Attributes) error {
		list = append(list, a.Key)
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
	slices.Sort(list)
	return list
}

// rows lists what the database holds, in the order of its ends.
func (f *fixture) rows() []*kinora.Upload {
	f.t.Helper()
	var list []*kinora.Upload
	err := f.db.View(context.Background(), func(tx *store.Tx) (err error) {
		list, err = tx.ExpiredUploads(testTime.Add(1000*time.Hour), 1000)
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return list
}

// wantNothing is the promise behind every error.
func (f *fixture) wantNothing(what string) {
	f.t.Helper()
	if keys, rows := f.keys(), f.rows(); len(keys)+len(rows) > 0 {
		f.t.Errorf("%s: left behind %v and %d rows", what, keys, len(rows))
	}
}

func (f *fixture) read(key string) []byte {
	f.t.Helper()
	object, err := f.files.Files.Open(f.t.Context(), key)
	if err != nil {
		f.t.Fatal(err)
	}
	defer object.Close()
	b, err := io.ReadAll(object)
	if err != nil {
		f.t.Fatal(err)
	}
	return b
}

func wantError(t *testing.T, what string, err error, code kinora.ErrorCode, message string) {
	t.Helper()
	if kinora.CodeOf(err) != code || err != nil && !strings.Contains(err.Error(), message) {
		t.Errorf("%s: %v (code %q), want code %q and %q", what, err, kinora.CodeOf(err), code, message)
	}
}

// faultyFiles fails where it is told to.
type faultyFiles struct {
	Files
	put, open, remove func(key string) error
	lostPut           bool // Put stores the file and fails all the same
}

func (f *faultyFiles) Put(ctx context.Context, key string, r io.Reader, o blob.PutOptions) (blob.Attributes, error) {
	if f.put != nil {
		if err := f.put(key); err != nil {
			return blob.Attributes{}, err
		}
	}
	a, err := f.Files.Put(ctx, key, r, o)
	if err == nil && f.lostPut {
		err = &blob.Error{Op: "put", Kind: blob.ErrUnavailable}
	}
	return a, err
}

func (f *faultyFiles) Open(ctx context.Context, key string) (blob.Object, error) {
	if f.open != nil {
		if err := f.open(key); err != nil {
			return nil, err
		}
	}
	return f.Files.Open(ctx, key)
}

func (f *faultyFiles) Delete(ctx context.Context, key string) error {
	if f.remove != nil {
		if err := f.remove(key); err != nil {
			return err
		}
	}
	return f.Files.Delete(ctx, key)
}

// fakeFetch writes what it is told to.
type fakeFetch struct {
	urls     []string
	limit    int64
	download func(ctx context.Context, w io.Writer) error
}

func (f *fakeFetch) Download(ctx context.Context, rawURL string, limit int64, w io.Writer) (netguard.Downloaded, error) {
	f.urls, f.limit = append(f.urls, rawURL), limit
	return netguard.Downloaded{}, f.download(ctx, w)
}

func pngFile() []byte {
	var b bytes.Buffer
	_ = png.Encode(&b, image.NewGray(image.Rect(0, 0, 24, 16)))
	return b.Bytes()
}

func jpegFile() []byte {
	var b bytes.Buffer
	_ = jpeg.Encode(&b, image.NewGray(image.Rect(0, 0, 24, 16)), nil)
	return b.Bytes()
}

func gifFile() []byte {
	var b bytes.Buffer
	_ = gif.Encode(&b, image.NewGray(image.Rect(0, 0, 24, 16)), nil)
	return b.Bytes()
}

// padded makes a file longer without making it another one.
func padded(file []byte, size int) []byte {
	return append(slices.Clone(file), make([]byte, size-len(file))...)
}

func riff(kind string, parts ...[]byte) []byte {
	body := slices.Concat(parts...)
	b := binary.LittleEndian.AppendUint32([]byte(kind), uint32(len(body)))
	return append(b, body...)
}

// aviFile is the head of a video of 320 by 240 pixels, and one frame of nothing.
func aviFile() []byte {
	le := binary.LittleEndian.AppendUint32
	header := slices.Concat([]byte("vidsH264"), make([]byte, 12), le(nil, 1), le(nil, 25), make([]byte, 4), le(nil, 100), make([]byte, 20))
	format := slices.Concat(le(nil, 40), le(nil, 320), le(nil, 240), make([]byte, 28))
	main := slices.Concat(le(nil, 40_000), make([]byte, 12), le(nil, 100), make([]byte, 36))
	return riff("RIFF", []byte("AVI "),
		riff("LIST", []byte("hdrl"), riff("avih", main), riff("LIST", []byte("strl"), riff("strh", header), riff("strf", format))),
		riff("LIST", []byte("movi"), riff("00dc", make([]byte, 500))))
}

func zerosOf(n int) io.Reader { return bytes.NewReader(make([]byte, n)) }
