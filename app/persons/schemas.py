"""The wire shapes of the rights of persons. What names a person comes in a body: addresses are logged."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field, model_validator

from app.campaigns.fields import Moment, Shape, refused
from app.campaigns.schemas import NOT_TOLD

Told = Annotated[str, Field(min_length=1, max_length=1000)]

#: What an erasure does not reach, said wherever one is asked for.
ELSEWHERE = (
    "Backups, exports and answers made before keep what they held. What comes in afterwards under the same "
    "identifiers is a new person's."
)


class PersonName(Shape):
    """Who is meant: exactly one of these."""

    visitor_id: Told = Field(default=NOT_TOLD, description="The tag's, the sender's, or the ct_id cookie.")
    user_id: Told = NOT_TOLD
    email: Told = Field(
        default=NOT_TOLD, description="The address, or the SHA-256 that was sent; hashed at once."
    )
    phone: Told = Field(default=NOT_TOLD, description="With country code, or its SHA-256; hashed at once.")
    click_id: Told = Field(default=NOT_TOLD, description="One of ours.")
    order_id: Told = NOT_TOLD
    conversion_id: Told = Field(default=NOT_TOLD, description="cv_ and 16 hexadecimal digits.")
    store: Annotated[str, Field(max_length=200)] = Field(default="", description="Of `order_id`.")

    @model_validator(mode="after")
    def one_of_them(self) -> "PersonName":
        names = self.model_fields_set - {"store"}
        if len(names) != 1 or (self.store and names != {"order_id"}):
            raise refused("person_unclear")
        return self

    @property
    def told(self) -> tuple[str, str]:
        """The identifier's name and value."""
        (name,) = self.model_fields_set - {"store"}
        return name, getattr(self, name)


class Holdings(BaseModel):
    """How much is held of a person."""

    counts: dict[str, int] = Field(description="Rows, by what they are of.")


class Erasure(BaseModel):
    """A request to erase a person, and how far it is."""

    id: int
    state: Literal["requested", "erasing", "sweeping", "done", "ambiguous"] = Field(
        description="`ambiguous`: the identifier is shared by several people, or blocked; nobody was erased."
    )
    requested_at: Moment
    erased_at: Moment | None = Field(description="When the last row was emptied.")
    done_at: Moment | None = Field(description="When inboxes and database files held nothing of it.")
    counts: dict[str, int] = Field(description="Rows emptied, by what they are of.")
    elsewhere: str = Field(default=ELSEWHERE, description="What an erasure does not reach.")


class Kept(BaseModel):
    """A class of data: how long it is kept, and the proof."""

    what: str
    kept: str
    setting: str = Field(description="What changes it; empty: nothing does.")
    before: Moment | None = Field(description="Nothing from before this instant may be held.")
    oldest: Moment | None = Field(description="The oldest row that is held.")
    past: int = Field(description="Rows held past their time: 0, but for a moment.")
    looked_through_at: Moment | None = Field(description="When the worker last looked, to the hour.")
    removed: int = Field(description="Rows deleted one by one so far.")


class Retention(BaseModel):
    classes: list[Kept]
