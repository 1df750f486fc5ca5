// A peer for the suite stream_peers: hashicorp/yamux over one connection, as a server of streams
// or as their user. What both do is described in tests/suites/stream_peers/story.rs.
package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strconv"
	"sync"

	"github.com/hashicorp/yamux"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) == 2 && os.Args[1] == "serve" {
		serve()
		return
	}
	if len(os.Args) == 5 && os.Args[1] == "load" {
		streams, _ := strconv.Atoi(os.Args[3])
		bytes, _ := strconv.Atoi(os.Args[4])
		if err := load(os.Args[2], streams, bytes); err != nil {
			log.Fatal(err)
		}
		fmt.Println("ok")
		return
	}
	log.Fatal("usage: yamux serve | yamux load ADDRESS STREAMS BYTES")
}

func pattern(stream, length int) []byte {
	bytes := make([]byte, length)
	for at := range bytes {
		bytes[at] = byte(at*31 + stream*7 + at>>8)
	}
	return bytes
}

// serve accepts one connection and serves its streams until the peer closes it.
func serve() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr())
	conn, err := listener.Accept()
	if err != nil {
		log.Fatal(err)
	}
	session, err := yamux.Server(conn, nil)
	if err != nil {
		log.Fatal(err)
	}
	released := make(chan struct{})
	for {
		stream, err := session.AcceptStream()
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, yamux.ErrSessionShutdown) {
				log.Fatal(err)
			}
			return
		}
		go func(stream *yamux.Stream) {
			if err := answer(stream, released); err != nil {
				log.Fatalf("stream %d: %v", stream.StreamID(), err)
			}
		}(stream)
	}
}

func answer(stream *yamux.Stream, released chan struct{}) error {
	defer stream.Close()
	var head [9]byte
	if _, err := io.ReadFull(stream, head[:]); err != nil {
		return err
	}
	length := int(binary.BigEndian.Uint64(head[1:]))
	switch head[0] {
	case 'E':
		_, err := io.Copy(stream, stream)
		return err
	case 'G':
		_, err := stream.Write(pattern(0, length))
		return err
	case 'S':
		<-released
		bytes := make([]byte, length)
		if _, err := io.ReadFull(stream, bytes); err != nil {
			return err
		}
		for at, expected := range pattern(0, length) {
			if bytes[at] != expected {
				return fmt.Errorf("wrong byte at %d", at)
			}
		}
		_, err := stream.Write([]byte{1})
		return err
	case 'R':
		close(released)
		return nil
	}
	return fmt.Errorf("unknown command %d", head[0])
}

func command(kind byte, length int) []byte {
	return binary.BigEndian.AppendUint64([]byte{kind}, uint64(length))
}

// load uses the streams of a server at an address.
func load(address string, streams, bytes int) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	session, err := yamux.Client(conn, nil)
	if err != nil {
		return err
	}
	const slow = 1 << 20
	// One stream that the peer does not read, one that this side does not read.
	unread, err := session.OpenStream()
	if err != nil {
		return err
	}
	wrote := make(chan error, 1)
	go func() {
		_, err := unread.Write(append(command('S', slow), pattern(0, slow)...))
		wrote <- err
	}()
	reluctant, err := session.OpenStream()
	if err != nil {
		return err
	}
	if _, err := reluctant.Write(command('G', slow)); err != nil {
		return err
	}

	outcomes := make(chan error, streams)
	var open sync.WaitGroup
	open.Add(streams)
	for number := 0; number < streams; number++ {
		go func(number int) { outcomes <- echo(session, number, bytes, &open) }(number)
	}
	for number := 0; number < streams; number++ {
		if err := <-outcomes; err != nil {
			return err
		}
	}
	select {
	case <-wrote:
		return errors.New("a stream that nobody reads took everything")
	default:
	}

	release, err := session.OpenStream()
	if err != nil {
		return err
	}
	if _, err := release.Write(command('R', 0)); err != nil {
		return err
	}
	if err := <-wrote; err != nil {
		return err
	}
	if _, err := io.ReadFull(unread, make([]byte, 1)); err != nil {
		return err
	}
	unread.Close()
	release.Close()
	received, err := io.ReadAll(reluctant)
	if err != nil {
		return err
	}
	if string(received) != string(pattern(0, slow)) {
		return errors.New("wrong bytes on the stream that was read late")
	}
	reluctant.Close()
	return session.Close()
}

// echo sends a pattern and reads it back. All streams are open before any of them sends it.
func echo(session *yamux.Session, number, bytes int, open *sync.WaitGroup) error {
	stream, err := session.OpenStream()
	if err != nil {
		open.Done()
		return err
	}
	defer stream.Close()
	first := make([]byte, 1)
	if _, err = stream.Write(append(command('E', 0), 7)); err == nil {
		_, err = io.ReadFull(stream, first)
	}
	open.Done()
	if err != nil {
		return err
	}
	open.Wait()
	sent := pattern(number, bytes)
	wrote := make(chan error, 1)
	go func() {
		_, err := stream.Write(sent)
		if err == nil {
			err = stream.Close()
		}
		wrote <- err
	}()
	received, err := io.ReadAll(stream)
	if err != nil {
		return fmt.Errorf("stream %d: %w", number, err)
	}
	if len(received) != len(sent) {
		return fmt.Errorf("stream %d: %d bytes came back, not %d", number, len(received), len(sent))
	}
	for at, expected := range sent {
		if received[at] != expected {
			return fmt.Errorf("stream %d: wrong byte at %d", number, at)
		}
	}
	return <-wrote
}
