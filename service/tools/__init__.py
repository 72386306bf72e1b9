"""Stub."""


class Tools:
    async def look_up(self, agent, variables): ...
