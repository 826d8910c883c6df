package media_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/kinora/kinora/internal/media"
)

// otherFiles are no pictures and no videos, whatever they pretend.
func otherFiles() map[string]string {
	return map[string]string{
		"empty":                 "",
		"one byte":              "\xff",
		"text":                  "just some text, longer than any signature is, so that nothing is too short",
		"html":                  "<!DOCTYPE html><html><script>alert(1)</script></html>",
		"html behind spaces":    " \n\t<html>",
		"svg":                   `<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>`,
		"svg with mark":         "\xef\xbb\xbf<svg/>",
		"script":                "#!/bin/sh\nrm -rf /",
		"javascript":            "alert(document.cookie)//\xff\xd8\xff\xe0",
		"pdf":                   "%PDF-1.7\n",
		"zip":                   "PK\x03\x04\x14\x00",
		"gif as script":         "GIF89a/*" + strings.Repeat(" ", 50) + "*/=1;alert(1)//",
		"gif as script, table":  "GIF89a=\x00\x00\x00\x80;alert(1);//////////",
		"png signature alone":   "\x89PNG\r\n\x1a\n<html><script>alert(1)</script>",
		"png behind text":       "x\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR",
		"half a png signature":  "\x89PNG\r\n",
		"png with line ends":    "\x89PNG\n\x1a\n\x00\x00\x00\x0dIHDR",
		"jpeg end at once":      "\xff\xd8\xff\xd9",
		"jpeg twice":            "\xff\xd8\xff\xd8\xff\xe0",
		"jpeg and text":         "\xff\xd8\xff<script>",
		"riff wave":             "RIFF\x24\x00\x00\x00WAVEfmt ",
		"riff webp, odd chunk":  "RIFF\x24\x00\x00\x00WEBPhtml",
		"riff avi, odd chunk":   "RIFF\x24\x00\x00\x00AVI html",
		"riff alone":            "RIFF\x24\x00\x00\x00",
		"text like quicktime":   "callmoov and listen",
		"page like quicktime":   "<!--moov--><script>",
		"line ends, quicktime":  "\n\n\n\nmoov",
		"page with brand":       "<!--ftypisom-->",
		"brand in huge box":     "\x00\x10\x00\x00ftypisom\x00\x00\x00\x00isom",
		"brand in odd box":      "\x00\x00\x00\x15ftypisom\x00\x00\x00\x00isomx",
		"brand in small box":    "\x00\x00\x00\x0cftypisom",
		"audio m4a":             "\x00\x00\x00\x18ftypM4A \x00\x00\x00\x00isommp42",
		"canon raw":             "\x00\x00\x00\x18ftypcrx \x00\x00\x00\x01crx isom",
		"phone video":           "\x00\x00\x00\x14ftyp3gp4\x00\x00\x00\x00isom",
		"heif of unknown coder": "\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00mif1miaf",
		"ebml without type":     "\x1a\x45\xdf\xa3\x84\x42\x86\x81\x01",
		"ebml of other type":    "\x1a\x45\xdf\xa3\x87\x42\x82\x84html",
		"ebml unknown size":     "\x1a\x45\xdf\xa3\xff\x42\x82\x84webm",
		"ebml and text":         "\x1a\x45\xdf\xa3<script>alert(1)</script>",
		"mp3":                   "ID3\x04\x00\x00\x00\x00\x00\x00",
		"ogg":                   "OggS\x00\x02",
		"bmp":                   "BM\x36\x00\x00\x00\x00\x00\x00\x00",
		"tiff":                  "II*\x00\x08\x00\x00\x00",
		"elf":                   "\x7fELF\x02\x01\x01",
		"zeros":                 strings.Repeat("\x00", 5000),
	}
}

func TestDetectOther(t *testing.T) {
	for name, content := range otherFiles() {
		if got := media.Detect([]byte(content)); got != media.Other {
			t.Errorf("%s is taken for %v", name, got)
		}
	}
}

func TestDetect(t *testing.T) {
	for name, s := range samples(t) {
		head := s.file[:min(len(s.file), media.HeadSize)]
		if got := media.Detect(head); got != s.want.Type {
			t.Errorf("%s is taken for %v", name, got)
		}
		if got := media.Detect(head[:min(len(head), 64)]); got != s.want.Type {
			t.Errorf("the first 64 bytes of %s are taken for %v", name, got)
		}
	}
	for brands, want := range map[string]media.Type{
		"isom": media.MP4, "mp42": media.MP4, "avc1": media.MP4, "iso5,dash": media.MP4, "M4V ": media.MP4, "XAVC": media.MP4,
		"qt  ": media.MOV, "qt  ,isom": media.MOV, "avif,mif1": media.AVIF, "avis": media.AVIF, "mif1,avif": media.AVIF,
		"heic": media.HEIC, "heix": media.HEIC, "mif1,heic": media.HEIC, "msf1,hevc": media.HEIC,
		"zzzz,isom": media.MP4, "zzzz,yyyy,avif": media.AVIF, "M4A ,isom": media.Other, "zzzz,M4A ,mp42": media.MP4,
	} {
		all := strings.Split(brands, ",")
		file := ftyp(all[0], append(all[1:], "    ")...)
		if got := media.Detect(file); got != want {
			t.Errorf("brands %s are taken for %v, want %v", brands, got, want)
		}
	}
}

func TestTypes(t *testing.T) {
	seen := map[string]bool{}
	for _, test := range []struct {
		t           media.Type
		kind        media.Kind
		contentType string
		extension   string
	}{
		{media.Other, media.KindOther, "application/octet-stream", ".bin"},
		{media.PNG, media.KindImage, "image/png", ".png"},
		{media.JPEG, media.KindImage, "image/jpeg", ".jpg"},
		{media.GIF, media.KindImage, "image/gif", ".gif"},
		{media.WebP, media.KindImage, "image/webp", ".webp"},
		{media.AVIF, media.KindImage, "image/avif", ".avif"},
		{media.HEIC, media.KindImage, "image/heic", ".heic"},
		{media.MP4, media.KindVideo, "video/mp4", ".mp4"},
		{media.MOV, media.KindVideo, "video/quicktime", ".mov"},
		{media.WebM, media.KindVideo, "video/webm", ".webm"},
		{media.Matroska, media.KindVideo, "video/x-matroska", ".mkv"},
		{media.AVI, media.KindVideo, "video/x-msvideo", ".avi"},
		{media.Type(200), media.KindOther, "application/octet-stream", ".bin"},
	} {
		if test.t.Kind() != test.kind || test.t.ContentType() != test.contentType || test.t.Extension() != test.extension || test.t.String() != test.contentType {
			t.Errorf("%d is %s, %s, %s", test.t, test.t.Kind(), test.t.ContentType(), test.t.Extension())
		}
		seen[test.extension] = true
	}
	if len(seen) != 12 {
		t.Errorf("%d extensions", len(seen))
	}
}

// TestDetectRefusesPages: what a browser would take for a page is never detected as a picture. The beginning decides in both.
func TestDetectRefusesPages(t *testing.T) {
	all := samples(t)
	for _, tag := range []string{"<!DOCTYPE HTML", "<HTML", "<HEAD", "<SCRIPT", "<IFRAME", "<H1", "<DIV", "<FONT", "<TABLE", "<A", "<STYLE", "<TITLE", "<B", "<BODY", "<BR", "<P", "<!--", "<?xml", "<svg", "%PDF-", "%!PS-Adobe-"} {
		for name, s := range all {
			page := join([]byte(tag+" "), s.file)
			if got := media.Detect(page[:min(len(page), media.HeadSize)]); got != media.Other {
				t.Errorf("%q in front of %s is taken for %v", tag, name, got)
			}
			if len(tag) >= 4 {
				over := bytes.Clone(s.file)
				copy(over, tag)
				if got := media.Detect(over[:min(len(over), media.HeadSize)]); got != media.Other {
					t.Errorf("%q over the beginning of %s is taken for %v", tag, name, got)
				}
			}
		}
	}
}
