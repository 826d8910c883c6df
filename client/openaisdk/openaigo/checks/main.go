// Command checks uses a server as a client of OpenAI's API would, and ends with 1 where it is not answered as one.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

func main() {
	if err := check(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("all checks passed")
}

func check(ctx context.Context) error {
	base := option.WithBaseURL(os.Getenv("KINORA_SERVER") + "/v1")
	client := openai.NewClient(base, option.WithAPIKey(os.Getenv("KINORA_KEY")))
	picture, err := os.ReadFile(os.Getenv("KINORA_PICTURE"))
	if err != nil {
		return err
	}
	return errors.Join(videos(ctx, client, picture), images(ctx, client, picture), refusals(ctx, client, base))
}

func videos(ctx context.Context, client openai.Client, picture []byte) error {
	var ids []string
	for range 2 {
		params := openai.VideoNewParams{Model: "sandbox-video", Prompt: "A paper boat", Seconds: "1", Size: "320x180",
			InputReference: openai.File(bytes.NewReader(picture), "boat.png", "image/png")}
		params.SetExtraFields(map[string]any{"sandbox": `{"delay":"200ms"}`, "reference": "from Go"})
		video, err := client.Videos.NewAndPoll(ctx, params, 100)
		if err != nil {
			return fmt.Errorf("create a video: %w", err)
		}
		if video.Status != openai.VideoStatusCompleted || video.Progress != 100 || video.ExpiresAt == 0 || video.Seconds != "1" {
			return fmt.Errorf("the video is %s", video.RawJSON())
		}
		ids = append(ids, video.ID)
	}
	content, err := client.Videos.DownloadContent(ctx, ids[0], openai.VideoDownloadContentParams{})
	if err != nil {
		return fmt.Errorf("download: %w", err)
	}
	defer content.Body.Close()
	clip, err := io.ReadAll(content.Body)
	if err != nil || !bytes.Contains(clip[:min(len(clip), 64)], []byte("ftyp")) || content.Header.Get("Content-Type") != "video/mp4" {
		return fmt.Errorf("the content is %d bytes of %s: %w", len(clip), content.Header.Get("Content-Type"), err)
	}
	found := 0
	pages := client.Videos.ListAutoPaging(ctx, openai.VideoListParams{Limit: openai.Int(1)})
	for pages.Next() {
		if id := pages.Current().ID; id == ids[0] || id == ids[1] {
			found++
		}
	}
	if err := pages.Err(); err != nil || found != len(ids) {
		return fmt.Errorf("%d of the videos are listed: %w", found, err)
	}
	if deleted, err := client.Videos.Delete(ctx, ids[0]); err != nil || !deleted.Deleted || deleted.ID != ids[0] {
		return fmt.Errorf("delete: %+v %w", deleted, err)
	}
	_, err = client.Videos.Get(ctx, ids[0])
	return status(err, 404, "not_found")
}

func images(ctx context.Context, client openai.Client, picture []byte) error {
	made, err := client.Images.Generate(ctx, openai.ImageGenerateParams{Model: "sandbox-image", Prompt: "a depot", Size: "64x64", N: openai.Int(2),
		ResponseFormat: openai.ImageGenerateParamsResponseFormatURL})
	if err != nil || len(made.Data) != 2 || !strings.HasPrefix(made.Data[1].URL, "http") {
		return fmt.Errorf("by URL: %+v %w", made, err)
	}
	edited, err := client.Images.Edit(ctx, openai.ImageEditParams{Model: "sandbox-image", Prompt: "at night", Size: "64x64",
		Image: openai.ImageEditParamsImageUnion{OfFileArray: []io.Reader{
			openai.File(bytes.NewReader(picture), "1.png", "image/png"), openai.File(bytes.NewReader(picture), "2.png", "image/png")}}})
	if err != nil || len(edited.Data) != 1 || edited.Data[0].B64JSON == "" {
		return fmt.Errorf("an edit: %+v %w", edited, err)
	}
	later, err := client.Images.Generate(ctx, openai.ImageGenerateParams{Model: "sandbox-image", Prompt: "a depot"}, option.WithJSONSet("async", true))
	if err != nil {
		return fmt.Errorf("asynchronous: %w", err)
	}
	var record struct{ ID, Status string }
	if err := json.Unmarshal([]byte(later.RawJSON()), &record); err != nil || record.Status != "queued" {
		return fmt.Errorf("asynchronous: %s %w", later.RawJSON(), err)
	}
	return client.Get(ctx, "images/generations/"+record.ID, nil, &record)
}

func refusals(ctx context.Context, client openai.Client, base option.RequestOption) error {
	image := openai.ImageGenerateParams{Model: "sandbox-image", Prompt: "a depot"}
	nobody := openai.NewClient(base, option.WithAPIKey("sk-wrong"))
	_, unauthorized := nobody.Images.Generate(ctx, image)
	_, noModel := client.Images.Generate(ctx, openai.ImageGenerateParams{Model: "dall-e-9", Prompt: "a depot"})
	_, bad := client.Images.Generate(ctx, image, option.WithJSONSet("n", 99))
	_, refused := client.Images.Generate(ctx, image, option.WithJSONSet("sandbox", map[string]any{"fail": "moderation"}))
	_, failed := client.Images.Generate(ctx, image, option.WithJSONSet("sandbox", map[string]any{"fail": "generation", "delay": "50ms"}), option.WithJSONSet("reference", "fails once"))
	return errors.Join(status(unauthorized, 401, "invalid_api_key"), status(noModel, 404, "model_not_found"), status(bad, 400, ""),
		status(refused, 400, "moderation_blocked"), status(failed, 502, "upstream_error"))
}

// status says what is wrong with an error that is to be one of the SDK's.
func status(err error, code int, word string) error {
	var e *openai.Error
	if !errors.As(err, &e) || e.StatusCode != code || e.Code != word || e.Message == "" {
		return fmt.Errorf("want %d %s, got %w", code, word, err)
	}
	return nil
}
