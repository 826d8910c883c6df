package server

import (
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/kinora/kinora"
)

// Bounds of the submit API's own fields, where the contract gives none: wide enough for every documented upstream.
const (
	maxModelName   = 128    // bytes
	maxPrompt      = 65_536 // bytes
	maxSize        = 64     // bytes
	maxURL         = 8192   // bytes
	maxImages      = 100
	maxVideoLength = 24 * 60 * 60 // seconds
	maxWebhookURL  = 2048         // bytes
)

// parseSubmit reads the body of a submit (contract 2.1 and 2.2). misplaced says that a callback URL stands at the root,
// where it means nothing.
func parseSubmit(doc *document) (sub *kinora.Submission, misplaced bool, err error) {
	root := doc.root()
	if root.kind() != jsonObject {
		return nil, false, refuse(errMalformed, "JSON body must be an object")
	}
	var model, input, webhook, reference, metadata value
	for key, val := range root.members() {
		switch string(key.bytes()) {
		case "model":
			model = val
		case "input":
			input = val
		case "webhook":
			webhook = val
		case "reference":
			reference = val
		case "metadata":
			metadata = val
		case "callback_url":
			misplaced = true
		}
	}
	sub = &kinora.Submission{Surface: kinora.SurfaceSubmit}
	if sub.Model, err = parseModel(model); err != nil {
		return nil, false, err
	}
	if err := parseInput(input, sub); err != nil {
		return nil, false, err
	}
	if sub.WebhookURL, err = parseWebhook(webhook); err != nil {
		return nil, false, err
	}
	if err := parseEcho(reference, metadata, sub); err != nil {
		return nil, false, err
	}
	return sub, misplaced, nil
}

func parseModel(v value) (string, error) {
	if !v.given() {
		return "", refuse(kinora.ErrInvalid, "model is required")
	}
	name, err := parseString(v, "model", maxModelName)
	if err != nil {
		return "", err
	}
	if strings.TrimSpace(name) == "" {
		return "", refuse(kinora.ErrInvalid, "model is required")
	}
	return name, nil
}

// parseInput reads the closed object "input".
func parseInput(v value, sub *kinora.Submission) error {
	in := &sub.Input
	if !v.present() || v.kind() != jsonObject {
		return refuse(kinora.ErrInvalid, "input is required")
	}
	var prompt, size, image, images, duration, secs, metadata value
	for key, val := range v.members() {
		switch string(key.bytes()) {
		case "prompt":
			prompt = val
		case "size":
			size = val
		case "image":
			image = val
		case "images":
			images = val
		case "duration":
			duration = val
		case "seconds":
			secs = val
		case "metadata":
			metadata = val
		default:
			return refuse(kinora.ErrInvalid, "input.%s is not allowed; put it under input.metadata", shown(key.text()))
		}
	}
	var err error
	if in.Prompt, err = parsePrompt(prompt); err != nil {
		return err
	}
	if size.given() {
		if in.Size, err = parseString(size, "input.size", maxSize); err != nil {
			return err
		}
	}
	if in.Images, in.ImageItems, err = parseImages(image, images); err != nil {
		return err
	}
	if err := parseMetadata(metadata, in); err != nil {
		return err
	}
	parseDuration(duration, secs, sub)
	return nil
}

func parsePrompt(v value) (string, error) {
	if !v.given() {
		return "", promptRequired()
	}
	prompt, err := parseString(v, "input.prompt", maxPrompt)
	if err != nil {
		return "", err
	}
	if strings.TrimSpace(prompt) == "" {
		return "", promptRequired()
	}
	return prompt, nil
}

func promptRequired() error { return refuse(kinora.ErrInvalid, "input.prompt is required") }

func parseString(v value, field string, most int) (string, error) {
	if v.kind() != jsonString {
		return "", refuse(kinora.ErrInvalid, "%s must be a string", field)
	}
	s := v.text()
	if len(s) > most {
		return "", refuse(kinora.ErrInvalid, "%s must be at most %d bytes long", field, most)
	}
	return s, nil
}

// parseImages merges "image" and "images", in that order, without repeats. An empty "image" counts as absent.
// items is how many "images" has, where that is another number.
func parseImages(image, images value) (list []string, items int, err error) {
	if image.given() {
		u, err := parseString(image, "input.image", maxURL)
		if err != nil {
			return nil, 0, err
		}
		if u != "" {
			if !isWebURL(u) {
				return nil, 0, refuse(kinora.ErrInvalid, "input.image must be an http or https URL")
			}
			list = append(list, u)
		}
	}
	if !images.given() {
		return list, 0, nil
	}
	if images.kind() != jsonArray {
		return nil, 0, notStrings()
	}
	n := 0
	for item := range images.items() {
		if item.kind() != jsonString {
			return nil, 0, notStrings()
		}
		field := "input.images[" + strconv.Itoa(n) + "]"
		u, err := parseString(item, field, maxURL)
		if err != nil {
			return nil, 0, err
		}
		if !isWebURL(u) {
			return nil, 0, refuse(kinora.ErrInvalid, "%s must be an http or https URL", field)
		}
		if n++; n > maxImages {
			return nil, 0, refuse(kinora.ErrInvalid, "input.images must have at most %d items", maxImages)
		}
		if !slices.Contains(list, u) {
			list = append(list, u)
		}
	}
	if n == len(list) {
		n = 0
	}
	return list, n, nil
}

func notStrings() error {
	return refuse(kinora.ErrInvalid, "input.images must be an array of strings")
}

func isWebURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// parseMetadata reads the open object "metadata", which may also come as a string that holds one, and takes the callback
// URL out of it: that goes its own way, byte for byte. Any other key whose value is null counts as absent, as it does
// beside the metadata, so that no provider has to know of nulls.
func parseMetadata(v value, in *kinora.Input) error {
	if !v.given() {
		return nil
	}
	if v.kind() == jsonString {
		doc, err := parseJSON([]byte(v.text()))
		if err != nil {
			return notAnObject()
		}
		v = doc.root()
	}
	if v.kind() != jsonObject {
		return notAnObject()
	}
	for key, val := range v.members() {
		if string(key.bytes()) == "callback_url" {
			var err error
			if in.CallbackURL, err = parseString(val, "input.metadata.callback_url", maxURL); err != nil {
				return err
			}
			continue
		}
		if !val.given() {
			continue
		}
		if in.Metadata == nil {
			in.Metadata = make(map[string]json.RawMessage, 8)
		}
		in.Metadata[key.text()] = val.raw()
	}
	return nil
}

func notAnObject() error { return refuse(kinora.ErrInvalid, "input.metadata must be an object") }

// parseDuration settles which of the three ways to ask for a length counts: metadata.durationSeconds, then duration, then
// seconds. All that are there must make sense, to a model that makes videos. 0 and the empty string count as absent.
func parseDuration(duration, secs value, sub *kinora.Submission) {
	for _, field := range []struct {
		name string
		v    value
	}{
		{"input.seconds", secs},
		{"input.duration", duration},
		{"input.metadata.durationSeconds", metadataValue(&sub.Input, "durationSeconds")},
	} {
		if !field.v.given() {
			continue
		}
		n, ok := wholeSeconds(field.v)
		if !ok {
			sub.DurationFault = fmt.Sprintf("%s must be a whole number of seconds, at most %d", field.name, maxVideoLength)
			return
		}
		if n > 0 {
			sub.Input.Duration, sub.DurationField = n, field.name
		}
	}
}

// metadataValue looks a key of the metadata up as a value.
func metadataValue(in *kinora.Input, key string) value {
	raw, ok := in.Metadata[key]
	if !ok {
		return value{}
	}
	doc, err := parseJSON(raw)
	if err != nil {
		return value{}
	}
	return doc.root()
}

// wholeSeconds reads a number or a numeric string; 5.0 and 5e0 are whole numbers too.
func wholeSeconds(v value) (n int, ok bool) {
	var text string
	switch v.kind() {
	case jsonNumber:
		text = v.number().String()
	case jsonString:
		if text = strings.TrimSpace(v.text()); text == "" {
			return 0, true
		}
		if strings.Trim(text, "0123456789.") != "" { // no signs, no "Inf", no "0x10"
			return 0, false
		}
	default:
		return 0, false
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f < 0 || f > maxVideoLength || f != math.Trunc(f) {
		return 0, false
	}
	return int(f), true
}

// parseWebhook reads the root's "webhook" (contract 4.4). Where the URL may lead is not judged here.
func parseWebhook(v value) (string, error) {
	if !v.given() {
		return "", nil
	}
	if v.kind() != jsonObject {
		return "", refuse(kinora.ErrInvalid, "webhook must be an object with a url")
	}
	for key, val := range v.members() {
		if string(key.bytes()) != "url" || !val.given() {
			continue
		}
		u, err := parseString(val, "webhook.url", maxWebhookURL)
		if err != nil {
			return "", err
		}
		if u != "" {
			return u, nil
		}
	}
	return "", refuse(kinora.ErrInvalid, "webhook.url is required")
}

// parseEcho reads what is only kept to be echoed: the root's "reference" and "metadata".
func parseEcho(reference, metadata value, sub *kinora.Submission) error {
	if reference.given() {
		if reference.kind() != jsonString {
			return refuse(kinora.ErrInvalid, "reference must be a string")
		}
		text := reference.text()
		if utf8.RuneCountInString(text) > kinora.MaxReference {
			return refuse(kinora.ErrInvalid, "reference must be at most %d characters long", kinora.MaxReference)
		}
		sub.Reference = &text
	}
	if metadata.given() {
		if metadata.kind() != jsonObject {
			return refuse(kinora.ErrInvalid, "metadata must be an object")
		}
		raw := metadata.raw()
		if len(raw) > kinora.MaxMetadata {
			return refuse(kinora.ErrInvalid, "metadata must be at most %d bytes of JSON", kinora.MaxMetadata)
		}
		sub.Metadata = raw
	}
	return nil
}
