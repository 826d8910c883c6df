package server

import (
	"encoding/csv"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
)

var csvContent = []string{"text/csv; charset=utf-8; header=present"}

// wantsCSV tells whether a caller asks for CSV by name: whoever takes anything gets JSON.
func wantsCSV(h http.Header) bool {
	for _, line := range h.Values("Accept") {
		for part := range strings.SplitSeq(line, ",") {
			kind, params, err := mime.ParseMediaType(part)
			if err != nil || kind != "text/csv" {
				continue
			}
			if q, err := strconv.ParseFloat(params["q"], 64); params["q"] == "" || err == nil && q > 0 {
				return true
			}
		}
	}
	return false
}

// csvAnswer is an answer of rows. Nothing of it is kept in memory but what is on its way.
type csvAnswer struct {
	x       *exchange
	w       *csv.Writer
	control *http.ResponseController
}

// beginCSV answers with the row of column names.
func beginCSV(x *exchange, file string, columns ...string) *csvAnswer {
	h := x.Header()
	h["Content-Type"] = csvContent
	h.Set("Content-Disposition", `attachment; filename="`+file+`"`)
	t := &csvAnswer{x: x, w: csv.NewWriter(x), control: http.NewResponseController(x)}
	t.row(columns...)
	return t
}

func (t *csvAnswer) row(cells ...string) {
	for i, c := range cells {
		cells[i] = harmlessCell(c)
	}
	_ = t.w.Write(cells) // told by end
}

// harmlessCell keeps spreadsheets from taking a text for a formula.
func harmlessCell(c string) string {
	if c != "" && strings.ContainsRune("=+-@\t\r\n", rune(c[0])) {
		return "'" + c
	}
	return c
}

// flush passes the rows on, for which the client gets new time. An error means that the client has gone.
func (t *csvAnswer) flush() error {
	_ = t.control.SetWriteDeadline(time.Now().Add(2 * stretchTime)) // a writer that knows no deadlines has none
	t.w.Flush()
	return t.w.Error()
}

// end flushes the last rows. Nobody can be told of an error any more: the client has gone.
func (t *csvAnswer) end() error {
	_ = t.flush()
	return nil
}
