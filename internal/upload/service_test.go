package upload

import (
	"bytes"
	"context"
	"errors"
	"io"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/blob"
	"github.com/kinora/kinora/internal/blob/blobtest"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

func TestSave(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db)
		for name, tc := range map[string]struct {
			file        []byte
			kind        kinora.Kind
			contentType string
			extension   string
			life        time.Duration
		}{
			"png":  {pngFile(), kinora.KindImage, "image/png", ".png", 72 * time.Hour},
			"jpeg": {jpegFile(), kinora.KindImage, "image/jpeg", ".jpg", 72 * time.Hour},
			"gif":  {gifFile(), kinora.KindImage, "image/gif", ".gif", 72 * time.Hour},
			"avi":  {aviFile(), kinora.KindVideo, "video/x-msvideo", ".avi", 24 * time.Hour},
		} {
			// One byte at a time: what a slow network does.
			u, err := f.Save(t.Context(), testOrg, `C:\pictures\cat.bin`, "/demo/", iotest.OneByteReader(bytes.NewReader(tc.file)), nil)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			want := &kinora.Upload{ID: u.ID, OrganisationID: testOrg, BlobKey: u.BlobKey, Kind: tc.kind, ContentType: tc.contentType,
				Bytes: int64(len(tc.file)), OriginalName: "cat.bin",
				CreatedAt: testTime.Truncate(time.Microsecond), ExpiresAt: testTime.Truncate(time.Microsecond).Add(tc.life)}
			if diff := cmp.Diff(want, u); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
			if !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(u.ID) {
				t.Errorf("%s: id %q", name, u.ID)
			}
			if shape := `^temp/demo/2025/12/29/1767013744731057123_[0-9a-f]{8}\` + tc.extension + `$`; !regexp.MustCompile(shape).MatchString(u.BlobKey) {
				t.Errorf("%s: key %q does not match %s", name, u.BlobKey, shape)
			}
			if url := f.URL(u); url != "https://files.example/"+u.BlobKey+"?exp="+u.ExpiresAt.Format(time.RFC3339) {
				t.Errorf("%s: URL %s", name, url)
			}
			if !bytes.Equal(f.read(u.BlobKey), tc.file) {
				t.Errorf("%s: other bytes were stored", name)
			}
			err = db.View(t.Context(), func(tx *store.Tx) error {
				got, err := tx.UploadByBlob(u.BlobKey)
				if diff := cmp.Diff(u, got); err == nil && diff != "" {
					t.Errorf("%s: the row differs (-answered +row):\n%s", name, diff)
				}
				return err
			})
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestRefusedFilesLeaveNothing(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	avif := "\x00\x00\x00\x18ftypavif\x00\x00\x00\x00avifmif1"
	for name, file := range map[string][]byte{
		"empty": nil, "text": []byte("hello"), "html": []byte("<html><script>alert(1)</script>"), "svg": []byte(`<svg xmlns="http://www.w3.org/2000/svg"/>`),
		"zip": []byte("PK\x03\x04rest"), "pdf": []byte("%PDF-1.7"), "avif, which is not on the list": []byte(avif),
		"a png's signature only": pngFile()[:8], "a png cut off": pngFile()[:30], "a gif's signature before a script": []byte("GIF89a=1;alert(1)//"),
		"a png without its picture": withoutPicture(pngFile()), "an avi cut off": aviFile()[:60], "html behind white space": append(bytes.Repeat([]byte(" "), 5000), "<html>"...),
	} {
		_, err := f.save(file)
		wantError(t, name, err, kinora.ErrInvalid, "Invalid file data")
		f.wantNothing(name)
	}
}

// withoutPicture takes the image data out of a PNG.
func withoutPicture(file []byte) []byte {
	from, to := bytes.Index(file, []byte("IDAT"))-4, bytes.Index(file, []byte("IEND"))-4
	return slices.Concat(file[:from], file[to:])
}

func TestPaths(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	for path, want := range map[string]string{
		"": "temp/2025/12/29", "/": "temp/2025/12/29", "demo": "temp/demo/2025/12/29", "a/b c/ü": "temp/a/b c/ü/2025/12/29", "temp/x": "temp/temp/x/2025/12/29",
		strings.Repeat("a", 200): "temp/" + strings.Repeat("a", 200) + "/2025/12/29",
	} {
		if got, err := folderOf(path, testTime); err != nil || got != want {
			t.Errorf("%q: %q, %v", path, got, err)
		}
	}
	for _, path := range []string{"..", "../x", "a/../b", "a/..", "a..b", "./a", "a/.hidden", "a//b", `a\b`, "a\x00b", "a\nb", "\xff", "a\u202eb", strings.Repeat("a", 201)} {
		_, err := f.Save(t.Context(), testOrg, "", path, iotest.ErrReader(errors.New("the body must not be read")), nil)
		wantError(t, path, err, kinora.ErrInvalid, "Invalid upload path")
	}
	f.wantNothing("bad paths")

	// A folder that has the name of a file cannot be made in a folder store.
	u, err := f.save(pngFile())
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Save(t.Context(), testOrg, "", strings.TrimPrefix(u.BlobKey, Prefix), bytes.NewReader(pngFile()), nil)
	wantError(t, "a file's name as a folder", err, kinora.ErrInvalid, "Invalid upload path")
	if got := f.keys(); len(got) != 1 {
		t.Errorf("files: %v", got)
	}
}

func TestSizes(t *testing.T) {
	const image, video = 9000, 20_000
	f := newFixture(t, storetest.SQLite(t), func(c *Config) { c.MaxImage, c.MaxVideo = image, video })
	for _, tc := range []struct {
		name string
		file []byte
		ok   bool
	}{
		{"image of the limit", padded(pngFile(), image), true}, {"image above it", padded(pngFile(), image+1), false},
		{"image between the limits", padded(pngFile(), video), false},
		{"video of the limit", padded(aviFile(), video), true}, {"video above it", padded(aviFile(), video+1), false},
		{"text above everything", bytes.Repeat([]byte("x"), 3*video), false},
	} {
		u, err := f.save(tc.file)
		switch {
		case tc.ok && (err != nil || u.Bytes != int64(len(tc.file))):
			t.Errorf("%s: %v", tc.name, err)
		case !tc.ok && strings.HasPrefix(tc.name, "text"):
			wantError(t, tc.name, err, kinora.ErrInvalid, "Invalid file data")
		case !tc.ok:
			wantError(t, tc.name, err, kinora.ErrTooLarge, "File too large")
		}
	}
	if n := len(f.keys()); n != 2 || len(f.rows()) != 2 {
		t.Errorf("%d files are kept, want 2", n)
	}
	if f.MaxSize() != video {
		t.Errorf("MaxSize = %d", f.MaxSize())
	}
}

// A reader that never ends must be left at the limit.
func TestEndlessFileStopsAtTheLimit(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t), func(c *Config) { c.MaxImage = 100_000 })
	endless := &counting{r: io.MultiReader(bytes.NewReader(pngFile()), zeros{})}
	_, err := f.Save(t.Context(), testOrg, "", "", endless, nil)
	wantError(t, "endless", err, kinora.ErrTooLarge, "File too large")
	if endless.n > 1<<20+100_000 {
		t.Errorf("%d bytes were read", endless.n)
	}
	f.wantNothing("endless")
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

type counting struct {
	r io.Reader
	n int64
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

func TestMemoryDoesNotGrowWithTheFile(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	const size = 90 << 20
	body := func() io.Reader { return io.LimitReader(io.MultiReader(bytes.NewReader(aviFile()), zeros{}), size) }
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	u, err := f.Save(t.Context(), testOrg, "", "", body(), nil)
	runtime.ReadMemStats(&after)
	if err != nil || u.Bytes != size {
		t.Fatalf("%+v, %v", u, err)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > size/8 {
		t.Errorf("%d bytes were allocated for a file of %d", used, size)
	}
}

func TestSourceErrors(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	own := kinora.Errorf(kinora.ErrTooLarge, "told by the surface")
	broken := errors.New("connection reset")
	for _, at := range []int{0, 10, len(pngFile()), 50_000} {
		file := padded(pngFile(), 60_000)[:at]
		for _, tc := range []struct {
			err  error
			code kinora.ErrorCode
			text string
		}{
			{own, kinora.ErrTooLarge, "told by the surface"}, {broken, kinora.ErrInvalid, "Invalid file data"}, {io.ErrUnexpectedEOF, kinora.ErrInvalid, "Invalid file data"},
		} {
			_, err := f.Save(t.Context(), testOrg, "", "", io.MultiReader(bytes.NewReader(file), iotest.ErrReader(tc.err)), nil)
			wantError(t, tc.err.Error(), err, tc.code, tc.text)
			f.wantNothing(tc.err.Error())
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	gone := &onRead{io.MultiReader(bytes.NewReader(padded(pngFile(), 60_000)), zeros{}), 50_000, cancel}
	if _, err := f.Save(ctx, testOrg, "", "", gone, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that has gone: %v", err)
	}
	f.wantNothing("a caller that has gone")
}

// onRead calls do once so many bytes have been read.
type onRead struct {
	r    io.Reader
	left int
	do   func()
}

func (o *onRead) Read(p []byte) (int, error) {
	n, err := o.r.Read(p)
	if o.left -= n; o.left <= 0 {
		o.do()
	}
	return n, err
}

func TestStorageFaults(t *testing.T) {
	fault := func(kind error) func(string) error {
		return func(string) error { return &blob.Error{Op: "test", Kind: kind, Hint: "make room"} }
	}
	for name, tc := range map[string]struct {
		set  func(*faultyFiles)
		code kinora.ErrorCode
	}{
		"full":        {func(f *faultyFiles) { f.put = fault(blob.ErrFull) }, kinora.ErrUnavailable},
		"denied":      {func(f *faultyFiles) { f.put = fault(blob.ErrDenied) }, kinora.ErrUnavailable},
		"unavailable": {func(f *faultyFiles) { f.put = fault(blob.ErrUnavailable) }, kinora.ErrUnavailable},
		"lost answer": {func(f *faultyFiles) { f.lostPut = true }, kinora.ErrUnavailable},
		"read back":   {func(f *faultyFiles) { f.open = fault(blob.ErrUnavailable) }, kinora.ErrUnavailable},
		"other":       {func(f *faultyFiles) { f.put = func(string) error { return errors.New("odd") } }, kinora.ErrInternal},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, storetest.SQLite(t))
			tc.set(f.files)
			_, err := f.save(pngFile())
			wantError(t, name, err, tc.code, "")
			f.wantNothing(name)
		})
	}
}

func TestDatabaseFaultLeavesNoFile(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db)
		err := db.Update(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(`ALTER TABLE uploads RENAME TO gone`)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.save(pngFile()); err == nil {
			t.Error("an upload without a row succeeded")
		}
		if keys := f.keys(); len(keys) > 0 {
			t.Errorf("left behind: %v", keys)
		}
	})
}

func TestLateFolder(t *testing.T) {
	save := func(f *fixture, folder string, rest func() (string, error)) (*kinora.Upload, error) {
		return f.Save(t.Context(), testOrg, "", folder, bytes.NewReader(pngFile()), rest)
	}
	say := func(folder string, err error) func() (string, error) {
		return func() (string, error) { return folder, err }
	}
	f := newFixture(t, storetest.SQLite(t))
	for want, rest := range map[string]func() (string, error){
		"temp/late/2025/12/29/": say("late", nil), "temp/early/2025/12/29/": say("", nil), "temp/2025/12/29/": say("/", nil),
	} {
		u, err := save(f, "early", rest)
		if err != nil || !strings.HasPrefix(u.BlobKey, want) || !bytes.Equal(f.read(u.BlobKey), pngFile()) {
			t.Errorf("want %s: %+v, %v", want, u, err)
		}
	}
	if keys, rows := f.keys(), f.rows(); len(keys) != 3 || len(rows) != 3 {
		t.Errorf("kept %v and %d rows", keys, len(rows))
	}

	f = newFixture(t, storetest.SQLite(t))
	_, err := save(f, "", say("../x", nil))
	wantError(t, "a bad late folder", err, kinora.ErrInvalid, "Invalid upload path")
	f.wantNothing("a bad late folder")
	_, err = save(f, "", say("", kinora.Errorf(kinora.ErrInvalid, "two files")))
	wantError(t, "a bad rest", err, kinora.ErrInvalid, "two files")
	f.wantNothing("a bad rest")
	f.files.put = func(key string) error {
		if strings.Contains(key, "late") {
			return &blob.Error{Kind: blob.ErrFull}
		}
		return nil
	}
	_, err = save(f, "", say("late", nil))
	wantError(t, "no room for the copy", err, kinora.ErrUnavailable, "storage")
	f.wantNothing("no room for the copy")
}

func TestSaveToS3(t *testing.T) {
	s3, err := blob.NewS3(blob.S3Config{Endpoint: blobtest.StartS3(t, "kinora"), Bucket: "kinora", PathStyle: true, AccessKey: "a", SecretKey: "b", Region: "us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s3.Close() })
	f := newFixture(t, storetest.SQLite(t), func(c *Config) { c.Files = s3 })
	f.files = &faultyFiles{Files: s3}
	u, err := f.Save(t.Context(), testOrg, "", "early", bytes.NewReader(pngFile()), func() (string, error) { return "late", nil })
	if err != nil || !bytes.Equal(f.read(u.BlobKey), pngFile()) || len(f.keys()) != 1 {
		t.Fatalf("%+v, %v, %v", u, err, f.keys())
	}
	if err := f.RemoveExpired(t.Context(), u.ExpiresAt); err != nil {
		t.Fatal(err)
	}
	f.wantNothing("after the end")
}

func TestOriginalNames(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	for name, want := range map[string]string{
		"": "upload.png", "cat.png": "cat.png", "../../etc/passwd": "passwd", `C:\a\b.png`: "b.png", "a\x00b\n.png": "ab.png", "..": "upload.png",
		"\u202egnp.exe": "gnp.exe", "кот.png": "кот.png", "\xff\xfe": "upload.png", " spaced ": "spaced", strings.Repeat("é", 300) + ".png": strings.Repeat("é", 251) + ".png",
	} {
		u, err := f.Save(t.Context(), testOrg, name, "", bytes.NewReader(pngFile()), nil)
		if err != nil || u.OriginalName != want {
			t.Errorf("%q: %+v, %v", name, u, err)
		}
	}
}

func TestNewNeedsItsParts(t *testing.T) {
	good := newFixture(t, storetest.SQLite(t)).cfg
	for name, change := range map[string]func(*Config){
		"database": func(c *Config) { c.DB = nil }, "files": func(c *Config) { c.Files = nil }, "fetch": func(c *Config) { c.Fetch = nil },
		"URL": func(c *Config) { c.URL = nil }, "sizes": func(c *Config) { c.MaxImage = -1 }, "lives": func(c *Config) { c.KeepVideo = -1 },
	} {
		cfg := good
		change(&cfg)
		if _, err := New(cfg); err == nil {
			t.Errorf("taken with bad %s", name)
		}
	}
}

func FuzzFolderOf(f *testing.F) {
	for _, s := range []string{"", "demo", "../x", "a//b", `\`, "a/./b", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		folder, err := folderOf(path, testTime)
		if err != nil {
			return
		}
		if !strings.HasPrefix(folder, Prefix) || strings.Contains(folder, "..") || blob.ValidateKey(folder+"/1_a.png") != nil {
			t.Fatalf("%q leads to %q", path, folder)
		}
	})
}

func TestWhoUploadsIsKept(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db)
		if _, err := f.save(pngFile()); err != nil { // by a key
			t.Fatal(err)
		}
		asAda := kinora.WithActor(t.Context(), kinora.Actor{Kind: kinora.ActorPerson, ID: "per_ada"})
		u, err := f.Save(asAda, testOrg, "cat.png", "", bytes.NewReader(pngFile()), nil)
		if err != nil {
			t.Fatal(err)
		}
		var list []kinora.AuditEntry
		if err := db.View(t.Context(), func(tx *store.Tx) (err error) {
			list, _, err = tx.AuditEntries(kinora.AuditFilter{}, store.SearchPage{Limit: 10, Reach: 10_000})
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if len(list) != 1 || list[0].Action != kinora.AuditUploadCreate || list[0].Actor.ID != "per_ada" || list[0].Target != u.ID || !strings.Contains(string(list[0].Detail), "image/png") {
			t.Fatalf("the log has %+v", list)
		}
	})
}
