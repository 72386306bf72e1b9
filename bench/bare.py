"""The bare socket server that the service is measured beside: a Starlette echo, and no more.

It does what the smallest useful bridge would: read a media message with the standard library's
JSON, µ-law to PCM and back, and answer. No pacing, marks, ledger, store or metrics.
"""

import audioop
import base64
import json
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect


async def echo(websocket: WebSocket) -> None:
    """Send every frame of a Twilio media stream back."""
    await websocket.accept()
    stream_sid = ""
    while True:
        try:
            message = json.loads(await websocket.receive_text())
        except WebSocketDisconnect:
            return
        if message["event"] == "media":
            pcm = audioop.ulaw2lin(base64.b64decode(message["media"]["payload"]), 2)
            payload = base64.b64encode(audioop.lin2ulaw(pcm, 2)).decode()
            answer = {"event": "media", "streamSid": stream_sid, "media": {"payload": payload}}
            await websocket.send_text(json.dumps(answer))
        elif message["event"] == "start":
            stream_sid = message["start"]["streamSid"]
        elif message["event"] == "stop":
            return


def main(port: int) -> None:
    """Serve on loopback until stopped."""
    uvicorn.run(
        Starlette(routes=[WebSocketRoute("/twilio/stream", echo)]),
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        log_level="warning",
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))
