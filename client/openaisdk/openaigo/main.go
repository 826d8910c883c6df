package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

func main() {
	client := openai.NewClient(option.WithBaseURL(os.Getenv("KINORA_SERVER")+"/v1"), option.WithAPIKey(os.Getenv("KINORA_KEY")))
	ctx := context.Background()

	video, err := client.Videos.NewAndPoll(ctx, openai.VideoNewParams{
		Model: "sandbox-video", Prompt: "A paper boat on a rainy street", Seconds: "2", Size: "320x180",
	}, 0)
	if err != nil {
		log.Fatal(err)
	}
	if video.Status != openai.VideoStatusCompleted {
		log.Fatal(video.Error.Message)
	}
	content, err := client.Videos.DownloadContent(ctx, video.ID, openai.VideoDownloadContentParams{})
	if err != nil {
		log.Fatal(err)
	}
	defer content.Body.Close()
	clip, err := io.ReadAll(content.Body)
	if err != nil {
		log.Fatal(err)
	}

	images, err := client.Images.Generate(ctx, openai.ImageGenerateParams{
		Model: "sandbox-image", Prompt: "isometric tram depot, dusk", Size: "256x256",
	})
	if err != nil {
		log.Fatal(err)
	}
	picture, err := base64.StdEncoding.DecodeString(images.Data[0].B64JSON)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("a video of %d bytes and a picture of %d\n", len(clip), len(picture))
}
