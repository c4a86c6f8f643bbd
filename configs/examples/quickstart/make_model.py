"""Trains model/weights.json on the messages below: python3 make_model.py"""

import collections
import io
import json
import math
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(HERE, "code"))
sys.dont_write_bytecode = True

from topic_words import words  # noqa: E402

MESSAGES = {
    "account": """
        I forgot my password and the reset link never arrives
        my account is locked after three wrong passwords
        how do I change the email address of my login
        the app signs me out every few minutes
        please delete my account and all my data
        two factor code is not accepted when I sign in
        I can not log in with my new phone
        how can I merge two accounts into one
        someone else signed in to my profile from another country
        the verification code by text message never came
        I want to change the user name on my profile
        the login page says my email is unknown
        please unlock my profile, I know the password again
        my old phone is gone and with it the authenticator
        how do I add my wife as a second user
        newsletter still comes although I unsubscribed in my settings
    """,
    "billing": """
        I was charged twice for the same order
        the invoice shows the wrong VAT number
        my credit card was refused although it is valid
        where is the refund for the cancelled subscription
        please send the invoice of last month as a PDF
        the discount code was not taken off the price
        you charged the yearly price instead of the monthly one
        my bank shows a payment that I never made
        can I pay by bank transfer instead of card
        the receipt has another amount than my statement
        when will the money be back on my card
        I cancelled in March and was billed again in April
        the price in the basket is higher than in the shop
        please refund the postage too
        our company needs invoices with a purchase order number
        the gift card balance is wrong after paying
    """,
    "delivery": """
        my parcel has been in the depot for a week
        the courier left the package with a neighbour I do not know
        tracking says delivered but nothing arrived
        can you send the order to another address
        the box arrived wet and half open
        when will my order be shipped
        the driver did not ring the bell and took the parcel back
        half of my order is missing from the box
        delivery was promised for Tuesday and it is Friday now
        the tracking number does not work on the carrier's page
        I received somebody else's package
        can the delivery wait until I am back from holiday
        the parcel shop says it never got my package
        please leave the box in the garage next time
        how much is express shipping to Norway
        customs holds my parcel and wants a paper
    """,
    "fault": """
        the screen stays black when I switch it on
        the battery is empty after an hour
        it makes a loud noise and smells burnt
        the app crashes when I open the settings
        the left speaker has no sound any more
        after the update the printer does not connect
        the handle broke off on the first day
        the kettle leaks at the bottom
        the button is stuck and does not react
        it stops working when it gets warm
        the charger gets very hot and the light blinks red
        the display flickers and then freezes
        bluetooth drops the connection every minute
        the zip of the bag tore after two uses
        error 27 appears and the machine restarts
        the sound crackles with my new headphones
    """,
    "praise": """
        great service, I got an answer within minutes
        thank you, the replacement works perfectly
        I love the new version, it is so much faster
        your support team is wonderful
        best headphones I have ever owned
        very happy with the quality, will buy again
        just wanted to say that Maria was friendly and helpful
        five stars, everything went smoothly
        what a lovely surprise, the handwritten card made my day
        excellent product at a fair price, I recommend it to all my friends
        thanks for the quick help yesterday, problem solved
        the best shop I know, keep going
        beautiful design and wonderful colours
        my kids love it, thank you so much
        perfect, arrived early and looks great
        impressed by how easy it was
    """,
}

SMOOTHING = 0.5


def train(messages):
    """Log probabilities of the topics, and of each word under each topic."""
    topics = sorted(messages)
    counts = [collections.Counter() for _ in topics]
    sizes = []
    for topic, count in zip(topics, counts):
        lines = [line for line in messages[topic].splitlines() if line.strip()]
        sizes.append(len(lines))
        for line in lines:
            count.update(words(line))
    vocabulary = sorted(set().union(*counts))
    totals = [sum(count.values()) + SMOOTHING * len(vocabulary) for count in counts]
    return {
        "topics": topics,
        "priors": [round(math.log(size / float(sum(sizes))), 4) for size in sizes],
        "weights": {word: [round(math.log((count[word] + SMOOTHING) / total), 4)
                           for count, total in zip(counts, totals)]
                    for word in vocabulary},
    }


def write(model, path):
    """One word a line, so that a change shows in a diff."""
    lines = ["%s: %s" % (json.dumps(word), json.dumps(weights)) for word, weights in model["weights"].items()]
    with io.open(path, "w", newline="\n") as f:
        f.write('{"topics": %s,\n"priors": %s,\n"weights": {\n%s\n}}\n' % (
            json.dumps(model["topics"]), json.dumps(model["priors"]), ",\n".join(lines)))


if __name__ == "__main__":
    os.makedirs(os.path.join(HERE, "model"), exist_ok=True)
    write(train(MESSAGES), os.path.join(HERE, "model", "weights.json"))
